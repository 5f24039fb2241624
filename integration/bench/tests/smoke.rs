//! The bench's loads on a real Envoy: their counts equal those of Envoy and plainsight. No time is measured.

use std::time::Duration;

use plainsight_bench::bootstrap::Modules;
use plainsight_bench::load::Limit;
use plainsight_bench::memory;
use plainsight_bench::rig::{KEEP_ALIVE, Rig};
use plainsight_bench::variant::{CALLER_CONNECTIONS, Cell, Chain, Filter, Listener, Workload};
use plainsight_harness::eventually::eventually;

const ROUNDS: u64 = 2;

async fn rig(listeners: &[Listener]) -> Rig {
    let modules = Modules::from_environment().unwrap();
    Rig::start(&modules, listeners, None, 1).await.unwrap()
}

fn on(chain: Chain) -> [Listener; 2] {
    [Filter::None, Filter::Both].map(|filter| Listener { chain, filter })
}

/// Runs this load alternately on both listeners, and returns the units served on each.
async fn in_turns(rig: &Rig, workload: Workload, limit: Limit) -> [u64; 2] {
    let mut served = [0; 2];
    for _ in 0..ROUNDS {
        for (place, filter) in [Filter::None, Filter::Both].into_iter().enumerate() {
            let cell = Cell { workload, filter };
            served[place] += rig.measure(cell, limit).await.unwrap().served;
        }
    }
    served
}

/// The sum of plainsight's counters of this name for the listener's port.
async fn counted(rig: &Rig, metric: &str, listener: Listener) -> u64 {
    let port = rig.target(listener).unwrap().address.port();
    // Requests without TLS have one more label after the port.
    let labels = [";", ","].map(|end| format!("destination_port={port}{end}"));
    let stats = rig.envoy.stats(metric).await.unwrap();
    let of_port = stats
        .iter()
        .filter(|(name, _)| labels.iter().any(|label| name.contains(label)));
    of_port.map(|(_, value)| value).sum()
}

/// Envoy's own counter of this listener's HTTP connection manager.
async fn envoys(rig: &Rig, listener: Listener, counter: &str) -> u64 {
    let name = format!("http.{listener}.{counter}");
    let stats = rig
        .envoy
        .stats(&format!("^http.{listener}.{counter}$"))
        .await
        .unwrap();
    *stats
        .get(&name)
        .unwrap_or_else(|| panic!("{name}: not in {stats:?}"))
}

/// Waits until the two sides are equal: plainsight flushes mutual TLS counts on a timer, and Envoy notices an aborted
/// request later than the client.
async fn become_equal(what: &str, left: impl AsyncFn() -> u64, right: impl AsyncFn() -> u64) {
    eventually(what, || async {
        let (left, right) = (left().await, right().await);
        anyhow::ensure!(left == right, "{left} and {right} differ");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn plaintext_loads_equal_the_counts_of_envoy_and_plainsight() {
    let listeners = on(Chain::Plaintext);
    let [none, both] = listeners;
    let rig = rig(&listeners).await;

    let requests = Limit::Units(500);
    assert_eq!(
        in_turns(&rig, Workload::Http2, requests).await,
        [500 * ROUNDS; 2]
    );
    assert_eq!(
        in_turns(&rig, Workload::NewConnections, requests).await,
        [500 * ROUNDS; 2]
    );
    for listener in listeners {
        assert_eq!(
            envoys(&rig, listener, "downstream_rq_2xx").await,
            1_000 * ROUNDS,
            "{listener}"
        );
    }
    let keep_alive = KEEP_ALIVE as u64;
    become_equal(
        "plainsight's requests",
        async || counted(&rig, "plainsight_requests_total", both).await,
        async || 1_000 * ROUNDS,
    )
    .await;
    become_equal(
        "plainsight's connections",
        async || counted(&rig, "plainsight_connections_total", both).await,
        async || (500 + keep_alive) * ROUNDS,
    )
    .await;

    // wrk stops in the middle of its last requests, so Envoy's count is the reference.
    let served = in_turns(&rig, Workload::Http1, Limit::Time(Duration::from_secs(1))).await;
    for (listener, served) in listeners.into_iter().zip(served) {
        let total = envoys(&rig, listener, "downstream_rq_total").await;
        assert!(
            total >= served + 1_000 * ROUNDS,
            "{listener}: {served} of {total}"
        );
    }
    become_equal(
        "plainsight's requests and Envoy's",
        async || counted(&rig, "plainsight_requests_total", both).await,
        async || envoys(&rig, both, "downstream_rq_total").await,
    )
    .await;
    assert_eq!(counted(&rig, "plainsight_requests_total", none).await, 0);
}

#[tokio::test]
async fn mutual_tls_loads_equal_the_counts_of_envoy_and_plainsight() {
    let listeners = on(Chain::MutualTls);
    let [none, both] = listeners;
    let rig = rig(&listeners).await;

    let limit = Limit::Units(300);
    assert_eq!(
        in_turns(&rig, Workload::Http1MutualTls, limit).await,
        [300 * ROUNDS; 2]
    );
    assert_eq!(
        in_turns(&rig, Workload::NewMutualTlsConnections, limit).await,
        [300 * ROUNDS; 2]
    );

    // Each keep-alive connection is answered once before the load begins.
    let keep_alive = KEEP_ALIVE as u64;
    let requests = (300 + keep_alive + 300) * ROUNDS;
    for listener in listeners {
        assert_eq!(
            envoys(&rig, listener, "downstream_rq_2xx").await,
            requests,
            "{listener}"
        );
    }
    let mutual_tls = async |metric: &str| {
        let stats = rig.envoy.stats(metric).await.unwrap();
        let labelled = stats
            .iter()
            .filter(|(name, _)| name.contains("peer=mutual_tls,"));
        labelled.map(|(_, value)| value).sum::<u64>()
    };
    become_equal(
        "plainsight's requests",
        async || mutual_tls("plainsight_requests_total").await,
        async || requests,
    )
    .await;
    become_equal(
        "plainsight's connections",
        async || mutual_tls("plainsight_connections_total").await,
        async || (keep_alive + 300) * ROUNDS,
    )
    .await;
    become_equal(
        "requests without mutual TLS",
        async || {
            counted(&rig, "plainsight_requests_total", both).await
                - mutual_tls("plainsight_requests_total").await
        },
        async || 0,
    )
    .await;
    assert_eq!(counted(&rig, "plainsight_requests_total", none).await, 0);
}

#[tokio::test]
async fn bytes_arrive_complete_through_the_network_plugin_in_either_direction() {
    let pair = |chain| [Filter::None, Filter::NetworkOnly].map(|filter| Listener { chain, filter });
    let [up_none, up] = pair(Chain::TcpUpload);
    let [down_none, down] = pair(Chain::TcpDownload);
    let rig = rig(&[up_none, up, down_none, down]).await;

    let chunks = 64;
    for (workload, listener) in [(Workload::TcpUpload, up), (Workload::TcpDownload, down)] {
        for filter in [Filter::None, Filter::NetworkOnly] {
            let cell = Cell { workload, filter };
            let bytes = rig
                .measure(cell, Limit::Units(chunks))
                .await
                .unwrap()
                .served;
            assert_eq!(bytes, chunks << 16, "{workload}, {}", filter.as_str());
        }
        become_equal(
            "plainsight's connections",
            async || counted(&rig, "plainsight_connections_total", listener).await,
            async || 4,
        )
        .await;
    }
}

#[tokio::test]
async fn the_bench_has_as_many_callers_as_it_claims() {
    let chain = Chain::Callers(100);
    let listener = Listener {
        chain,
        filter: Filter::Both,
    };
    let rig = rig(&[listener]).await;
    let cell = Cell {
        workload: Workload::Callers(100),
        filter: Filter::Both,
    };
    assert_eq!(
        rig.measure(cell, Limit::Units(2_000)).await.unwrap().served,
        2_000
    );

    let requests = 2_000 + CALLER_CONNECTIONS as u64;
    become_equal(
        "plainsight's requests",
        async || counted(&rig, "plainsight_requests_total", listener).await,
        async || requests,
    )
    .await;
    let series = rig.envoy.stats("plainsight_requests_total").await.unwrap();
    assert_eq!(series.len(), 100, "{series:?}");
}

#[tokio::test]
async fn every_filter_serves_small_and_large_bodies() {
    let filters = Workload::Http1.filters().iter().copied();
    let filters: Vec<_> = filters.chain([Filter::NetworkOnly]).collect();
    let chain = Chain::Plaintext;
    let listeners = filters.iter().map(|&filter| Listener { chain, filter });
    let listeners: Vec<_> = listeners.collect();
    let rig = rig(&listeners).await;
    for filter in filters {
        for (workload, requests) in [(Workload::NewConnections, 20), (Workload::LargeBody, 8)] {
            let cell = Cell { workload, filter };
            let served = rig
                .measure(cell, Limit::Units(requests))
                .await
                .unwrap_or_else(|error| panic!("{workload}, {}: {error:#}", filter.as_str()))
                .served;
            assert_eq!(served, requests, "{workload}, {}", filter.as_str());
        }
        let listener = Listener {
            chain: Chain::Plaintext,
            filter,
        };
        assert_eq!(
            envoys(&rig, listener, "downstream_rq_2xx").await,
            20 + 8 + KEEP_ALIVE as u64,
            "{listener}"
        );
    }
}

#[tokio::test]
async fn memory_is_measured_for_each_filter_in_each_round() {
    let modules = Modules::from_environment().unwrap();
    let memory = memory::measure(&modules, 1).await.unwrap();
    let [none, empty, both] = memory::FILTERS.map(|filter| memory[&filter][0]);
    // V8 alone takes several MiB, of tens in total.
    assert!(
        none > 10.0 && empty > none + 1.0 && both > none + 1.0,
        "{memory:?}"
    );
}
