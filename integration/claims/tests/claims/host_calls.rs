//! Host calls of a warm request, counted in a real Envoy's trace log. `wasm-host/tests/gates.rs` counts the same
//! without noise; this test shows that a real Envoy keeps the connection's mark that warm requests depend on.

use std::collections::BTreeMap;

use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::Envoy;
use plainsight_harness::eventually::eventually;
use serde_json::json;

use crate::scene::Scene;

const REQUESTS: usize = 10;

/// Calls of the timer, which may run at any time; not counted.
const TIMER_CALLS: [&str; 4] = [
    "proxy_on_tick",
    "proxy_get_current_time_nanoseconds",
    "proxy_record_metric",
    "proxy_increment_metric",
];

/// The number of entries into each callback and of calls to each host function, from Envoy's trace log:
/// <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/v8/v8.cc>, `[host->vm]` and `[vm->host]`.
fn counts(envoy: &Envoy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in envoy.log().lines() {
        for word in ["[host->vm] ", "[vm->host] env."] {
            if let Some((_, call)) = line.split_once(word)
                && let Some((name, _)) = call.split_once('(')
                && !TIMER_CALLS.contains(&name)
            {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// The counts of [`REQUESTS`] requests on a warm connection of `caller`.
async fn cost(scene: &Scene, caller: Caller) -> BTreeMap<String, usize> {
    let mut connection = caller.connect(scene.http.address()).await.unwrap();
    for _ in 0..3 {
        connection.exchange("/").await.unwrap();
    }
    scene.envoy.post("/logging?wasm=trace").await.unwrap();
    for _ in 0..REQUESTS {
        connection.exchange("/").await.unwrap();
    }
    scene.envoy.post("/logging?wasm=info").await.unwrap();
    eventually("the log is complete", || async {
        let counts = counts(&scene.envoy);
        let responses = counts.get("proxy_on_response_headers");
        anyhow::ensure!(responses == Some(&REQUESTS), "{counts:?}");
        Ok(counts)
    })
    .await
    .unwrap()
}

/// One of each for each request.
fn one_each(names: &[&str]) -> BTreeMap<String, usize> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), REQUESTS))
        .collect()
}

const ENTRIES: [&str; 4] = [
    "proxy_on_context_create",
    "proxy_on_downstream_data",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
];

#[tokio::test]
async fn a_warm_mutual_tls_request_takes_two_host_calls() {
    let scene = Scene::start(json!({})).await;
    let caller = Caller::http1("127.0.0.3").over_mesh(scene.client());
    let calls = ["proxy_get_property", "proxy_replace_header_map_value"];
    assert_eq!(
        cost(&scene, caller).await,
        one_each(&[&ENTRIES[..], &calls].concat())
    );
}

#[tokio::test]
async fn a_warm_plaintext_request_takes_three_host_calls_and_does_not_read_its_user_agent() {
    let scene = Scene::start(json!({})).await;
    let mut caller = Caller::http1("127.0.0.2");
    let agent = "curl/8.5".parse().unwrap();
    caller.headers.insert("user-agent", agent);
    // The third is `proxy_increment_metric`, which the timer calls too.
    let calls = ["proxy_get_property", "proxy_replace_header_map_value"];
    assert_eq!(
        cost(&scene, caller).await,
        one_each(&[&ENTRIES[..], &calls].concat())
    );
}
