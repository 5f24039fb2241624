//! HBONE: a valid tunnel principal in filter state makes the inner connection mutual TLS.

use plainsight_harness::app::App;
use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::Envoy;
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::{Value, json};

use crate::scene::{HEADER, REQUESTS, plaintext_from};

/// Fills `io.istio.peer_principal` from a format string, as `peer_metadata` and `connect_authority` do for the inner
/// listener: <https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/network_filters/set_filter_state>.
fn principal_filter(format: &str) -> Value {
    json!({
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [{
                "object_key": "io.istio.peer_principal",
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": format}},
            }],
        },
    })
}

/// The header that the application receives, and the labels of the request of a plaintext caller.
async fn outcome(format: &str) -> (Vec<String>, String) {
    let app = App::start().await.unwrap();
    let mut port = Port::declared(Protocol::Http, app.address()).unwrap();
    port.network_filters_first = vec![principal_filter(format)];
    let sidecar = Sidecar::new(Mode::Permissive, vec![port.clone()])
        .unwrap()
        .with_plainsight(json!({"principals": true}))
        .unwrap();
    let envoy = Envoy::start(&sidecar).await.unwrap();
    let reply = Caller::http1("127.0.0.2")
        .call(port.address())
        .await
        .unwrap();
    let scrape = envoy
        .scrape_until("one request", |scrape| {
            anyhow::ensure!(scrape.sum(REQUESTS, &[]) == 1.0);
            Ok(())
        })
        .await
        .unwrap();
    let sample = scrape.matching(REQUESTS, &[]).next().unwrap();
    let label = |name| sample.label(name).unwrap_or_default();
    (
        reply.header_seen_by_app(HEADER),
        format!(
            "{} {} {}",
            label("peer"),
            label("strict"),
            label("source_principal")
        ),
    )
}

#[tokio::test]
async fn a_spiffe_id_is_mutual_tls() {
    let id = "spiffe://cluster.local/ns/shop/sa/tunnel";
    let (header, counted) = outcome(id).await;
    assert_eq!(counted, format!("mutual_tls allow {id}"));
    assert_eq!(
        header,
        [format!("mutual_tls;strict=allow;principal=\"{id}\"")]
    );
}

/// A format string without a value yields `-`.
#[tokio::test]
async fn a_format_string_without_a_value_proves_nothing() {
    for format in [
        "%DOWNSTREAM_PEER_URI_SAN%",
        "-",
        "cluster.local/ns/shop/sa/tunnel",
    ] {
        let (header, counted) = outcome(format).await;
        assert_eq!(counted, "plaintext reject ", "{format}");
        assert_eq!(header, [plaintext_from("127.0.0.2")], "{format}");
    }
}
