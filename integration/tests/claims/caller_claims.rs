//! What is claimed of a caller: `filter_state.downstream_peer`. A stock Envoy has nothing that fills it as Istio's
//! metadata exchange does, so the claims themselves are tested in the in-test host; here, an object under that name
//! that is not of Istio's making.

use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, REQUESTS, Scene, plaintext_from};

#[tokio::test]
async fn an_object_of_another_shape_is_no_claim_and_no_harm() {
    let scene = Scene::bent(|sidecar| {
        *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
        sidecar.network_filters_first = vec![json!({
            "name": "envoy.filters.network.set_filter_state",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
                "on_new_connection": [{
                    "object_key": "downstream_peer",
                    "factory_key": "envoy.string",
                    "format_string": {"text_format_source": {"inline_string": "workload=web,namespace=shop"}},
                }],
            },
        })];
    })
    .await;
    let reply = Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        [plaintext_from("127.0.0.2")]
    );
    Caller::bytes("127.0.0.2")
        .call(scene.tcp.address())
        .await
        .unwrap();
    let scrape = scene
        .counted(CONNECTIONS, &[("peer", "plaintext")], 2.0)
        .await;
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "plaintext")]), 1.0);
    assert_eq!(
        scrape.count("plainsight_caller_claims", &[]),
        0,
        "{:#?}",
        scrape.plainsight()
    );
    assert!(!scrape.plainsight().join("\n").contains("shop"));
}
