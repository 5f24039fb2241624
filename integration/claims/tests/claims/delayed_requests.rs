//! An asynchronous filter ahead of the plugin: when a request continues, another connection received data last.

use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::{Configuration, Envoy};
use plainsight_harness::shapes::Sidecar;
use serde_json::{Value, json};

use crate::scene::{HEADER, change_managers, mesh_client, one_http_port, plaintext_from};

/// A sidecar that delays each request ahead of its plugins, as external authorization does.
struct Delaying(Sidecar);

impl Configuration for Delaying {
    fn bootstrap(&self) -> Value {
        self.0.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        let delay = json!({
            "name": "delay",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                "delay": {"fixed_delay": "0.05s", "percentage": {"numerator": 100}},
            },
        });
        change_managers(self.0.listeners(), |manager| {
            let filters = manager["http_filters"].as_array_mut().unwrap();
            filters.insert(0, delay.clone());
        })
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

#[tokio::test]
async fn delayed_requests_are_attributed_to_their_own_callers() {
    let (_app, port, sidecar) = one_http_port().await;
    let mesh = sidecar.mesh.client.clone();
    let envoy = Envoy::start(&Delaying(sidecar)).await.unwrap();
    let plain = async |source| Caller::http1(source).connect(port.address()).await;
    let mut first = plain("127.0.0.2").await.unwrap();
    let mut second = plain("127.0.0.3").await.unwrap();
    let mut meshed = Caller::http2("127.0.0.4")
        .over_mesh(&mesh)
        .connect(port.address())
        .await
        .unwrap();
    for _ in 0..10 {
        // All three arrive before the first of them continues.
        let (a, b, c) = tokio::join!(
            first.exchange("/"),
            meshed.exchange("/"),
            second.exchange("/"),
        );
        let seen = [a, b, c].map(|reply| reply.unwrap().header_seen_by_app(HEADER).concat());
        let own = [
            plaintext_from("127.0.0.2"),
            mesh_client(),
            plaintext_from("127.0.0.3"),
        ];
        assert_eq!(seen, own);
    }
    let scrape = envoy.scrape().await.unwrap();
    for source in ["127.0.0.2", "127.0.0.3"] {
        let counted = scrape.sum("plainsight_requests_total", &[("source_ip", source)]);
        assert_eq!(counted, 10.0, "{source}: {:#?}", scrape.plainsight());
    }
}
