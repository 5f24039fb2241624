//! Four workers, four VMs, one set of series; each worker has its own cap on callers.

use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, LAST_SEEN, OVERFLOW, REQUESTS, Scene, plaintext_from};

const WORKERS: u32 = 4;

#[tokio::test]
async fn each_worker_names_max_callers_and_the_rest_is_counted_exactly() {
    const MAX_CALLERS: usize = 5;
    const CALLERS: usize = 60;
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({"maxCallers": MAX_CALLERS}))
            .unwrap()
            .with_concurrency(WORKERS);
    })
    .await;
    for round in 0..2 {
        for caller in 0..CALLERS {
            let source = format!("127.0.2.{}", caller + 1);
            let reply = Caller::http1(&source)
                .call(scene.http.address())
                .await
                .unwrap_or_else(|error| panic!("{round} {source}: {error:#}"));
            // The cap is on series; the application still sees every address.
            assert_eq!(reply.header_seen_by_app(HEADER), [plaintext_from(&source)]);
        }
    }
    let total = 2.0 * CALLERS as f64;
    scene.counted(REQUESTS, &[], total).await;
    let scrape = scene.counted(CONNECTIONS, &[], total).await;
    let overflow = [("source_ip", "overflow")];
    for metric in [CONNECTIONS, REQUESTS, LAST_SEEN] {
        let named = scrape.count(metric, &[]) - scrape.count(metric, &overflow);
        assert!(
            (MAX_CALLERS..=MAX_CALLERS * WORKERS as usize).contains(&named),
            "{metric}: {named}: {:#?}",
            scrape.plainsight()
        );
    }
    // Sixty callers on four workers with five names each: at least forty overflow.
    let counted = [CONNECTIONS, REQUESTS].map(|metric| scrape.sum(metric, &overflow));
    assert!(
        counted[0] >= total - 2.0 * (MAX_CALLERS * WORKERS as usize) as f64,
        "{counted:?}"
    );
    assert_eq!(counted[0], counted[1], "one request for each connection");
    assert_eq!(
        scrape.sum(OVERFLOW, &[]),
        counted[0] + counted[1],
        "{:#?}",
        scrape.plainsight()
    );
}

#[tokio::test]
async fn one_caller_on_every_worker_is_one_series() {
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({}))
            .unwrap()
            .with_concurrency(WORKERS);
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        let mut connection = Caller::http1("127.0.0.2")
            .connect(scene.http.address())
            .await
            .unwrap();
        connection.exchange("/").await.unwrap();
        connections.push(connection);
    }
    let scrape = scene.envoy.scrape().await.unwrap();
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(
            (scrape.count(metric, &[]), scrape.sum(metric, &[])),
            (1, 60.0),
            "{:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(scrape.count(LAST_SEEN, &[]), 1);
}
