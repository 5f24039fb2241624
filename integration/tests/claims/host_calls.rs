//! What a warm request costs, counted in a real Envoy's trace log; `wasm-host/tests/gates.rs` counts the same without
//! noise on a host of its own. Here it shows that Envoy keeps the marks that warm requests are found by.

use std::collections::BTreeMap;

use plainsight_integration::callers::Caller;
use plainsight_integration::envoy::Envoy;
use plainsight_integration::eventually::eventually;
use serde_json::json;

use crate::scene::Scene;

const REQUESTS: usize = 10;

/// The timer comes when it comes, and what it calls is left out.
const OF_THE_TIMER: [&str; 4] = [
    "proxy_on_tick",
    "proxy_get_current_time_nanoseconds",
    "proxy_record_metric",
    "proxy_increment_metric",
];

/// How often each callback was entered and each host function was called, by Envoy's own account:
/// <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/v8/v8.cc>, `[host->vm]` and `[vm->host]`.
fn counts(envoy: &Envoy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in envoy.log().lines() {
        for word in ["[host->vm] ", "[vm->host] env."] {
            if let Some((_, call)) = line.split_once(word)
                && let Some((name, _)) = call.split_once('(')
                && !OF_THE_TIMER.contains(&name)
            {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// What so many requests cost on a connection of `caller` that had some.
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
async fn a_warm_mutual_tls_request_asks_for_its_mark_and_sets_its_header() {
    let scene = Scene::start(json!({})).await;
    let caller = Caller::http1("127.0.0.3").over_mesh(scene.client());
    let calls = ["proxy_get_property", "proxy_replace_header_map_value"];
    assert_eq!(
        cost(&scene, caller).await,
        one_each(&[&ENTRIES[..], &calls].concat())
    );
}

#[tokio::test]
async fn a_warm_plaintext_request_reads_its_user_agent_too_and_that_takes_room() {
    let scene = Scene::start(json!({})).await;
    let mut caller = Caller::http1("127.0.0.2");
    let agent = "curl/8.5".parse().unwrap();
    caller.headers.insert("user-agent", agent);
    let calls = [
        "proxy_get_property",
        "proxy_get_header_map_value",
        "proxy_on_memory_allocate",
        "proxy_replace_header_map_value",
    ];
    assert_eq!(
        cost(&scene, caller).await,
        one_each(&[&ENTRIES[..], &calls].concat())
    );
}
