//! Envoy numbers connections from 0, so 0 is a valid id.

use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::{Configuration, Envoy};
use plainsight_harness::eventually::eventually;
use plainsight_harness::shapes::Sidecar;
use serde_json::{Value, json};

use crate::scene::{HEADER, change_managers, one_http_port, plaintext_from};

/// A sidecar that adds the connection's id to each request.
struct AddConnectionId(Sidecar);

impl Configuration for AddConnectionId {
    fn bootstrap(&self) -> Value {
        self.0.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        change_managers(self.0.listeners(), |manager| {
            manager["route_config"]["request_headers_to_add"] =
                json!([{"header": {"key": "x-connection-id", "value": "%CONNECTION_ID%"}}]);
        })
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

#[tokio::test]
async fn the_first_connection_of_a_proxy_has_the_id_0_and_is_reported() {
    let (_app, port, sidecar) = one_http_port().await;
    let mut first = None;
    let envoy = Envoy::start_with_first(&AddConnectionId(sidecar), async || {
        let caller = Caller::http1("127.0.0.2");
        let reply = eventually("the listener is up", || caller.call(port.address())).await?;
        first = Some(reply);
        Ok(())
    })
    .await
    .unwrap();
    let reply = first.unwrap();
    assert_eq!(
        reply.header_seen_by_app("x-connection-id"),
        ["0"],
        "{}",
        envoy.log_tail()
    );
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        [plaintext_from("127.0.0.2")]
    );
    let scrape = envoy.scrape().await.unwrap();
    assert_eq!(
        scrape.sum(
            "plainsight_connections_total",
            &[("source_ip", "127.0.0.2")]
        ),
        1.0,
        "{:#?}",
        scrape.plainsight()
    );
    assert_eq!(
        scrape.sum("plainsight_requests_total", &[("source_ip", "127.0.0.2")]),
        1.0,
        "{:#?}",
        scrape.plainsight()
    );
}
