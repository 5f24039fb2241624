//! Outbound listeners are ignored, even if the plugin's `match` selects them.

use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::Configuration;
use plainsight_harness::shapes::Sidecar;
use serde_json::{Value, json};

use crate::scene::{CONNECTIONS, HEADER, LAST_SEEN, REQUESTS, Scene, plaintext_from};

/// A sidecar whose first listener is inbound, and all others outbound, with the same plugins.
struct FirstInbound(Sidecar);

impl Configuration for FirstInbound {
    fn bootstrap(&self) -> Value {
        self.0.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        let mut listeners = self.0.listeners();
        for listener in &mut listeners[1..] {
            listener["traffic_direction"] = json!("OUTBOUND");
        }
        listeners
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

#[tokio::test]
async fn an_outbound_listener_is_ignored_and_an_inbound_one_beside_it_counts() {
    let mut scene = Scene::start(json!({"responseHeader": "x-verdict"})).await;
    scene
        .envoy
        .apply(&FirstInbound(scene.sidecar.clone()))
        .await
        .unwrap();
    let caller = Caller::http1("127.0.0.2").with_header(HEADER, "the application's own");
    // Alternating, because both listeners have the same plugins.
    for round in 1..=3 {
        let reply = caller.call(scene.auto.address()).await.unwrap();
        assert_eq!(reply.header_seen_by_app(HEADER), ["the application's own"]);
        assert!(reply.headers.get("x-verdict").is_none());
        let bytes = Caller::bytes("127.0.0.2");
        bytes.call(scene.tcp.address()).await.unwrap();
        let mesh = Caller::http1("127.0.0.2").over_mesh(scene.client());
        mesh.call(scene.auto.address()).await.unwrap();

        let reply = caller.call(scene.http.address()).await.unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")],
            "{round}"
        );
    }
    let scrape = scene.settled().await;
    let (http, plaintext) = (scene.http.label(), ("peer", "plaintext"));
    for metric in [CONNECTIONS, REQUESTS] {
        let inbound = scrape.sum(metric, &[plaintext, ("destination_port", http.as_str())]);
        assert_eq!(inbound, 3.0, "{metric}: {:#?}", scrape.plainsight());
    }
    for metric in [CONNECTIONS, REQUESTS, LAST_SEEN] {
        let outbound = scrape
            .matching(metric, &[])
            .filter(|sample| sample.label("destination_port") != Some(&http));
        assert_eq!(outbound.count(), 0, "{metric}: {:#?}", scrape.plainsight());
    }
}

/// A listener that is replaced by one with the other direction keeps its plugins.
#[tokio::test]
async fn an_outbound_listener_that_becomes_inbound_counts() {
    let mut scene = Scene::with(|sidecar| {
        *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
        sidecar.traffic_direction = "OUTBOUND".to_owned();
    })
    .await;
    let caller = Caller::http1("127.0.0.2");
    let reply = caller.call(scene.http.address()).await.unwrap();
    assert_eq!(reply.header_seen_by_app(HEADER), [""; 0]);
    scene.sidecar.traffic_direction = "INBOUND".to_owned();
    scene.envoy.apply(&scene.sidecar).await.unwrap();
    let reply = caller.call(scene.http.address()).await.unwrap();
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        [plaintext_from("127.0.0.2")]
    );
    let scrape = scene.settled().await;
    for metric in [CONNECTIONS, REQUESTS] {
        let plaintext = scrape.sum(metric, &[("peer", "plaintext")]);
        assert_eq!(plaintext, 1.0, "{metric}: {:#?}", scrape.plainsight());
    }
}
