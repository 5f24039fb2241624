//! Reading TLS properties before the handshake would cache an empty certificate and break RBAC behind the filter
//! (<https://github.com/envoyproxy/envoy/issues/40179>).

use plainsight_harness::callers::Caller;
use plainsight_harness::pki::Mesh;
use serde_json::{Value, json};

use crate::scene::{CONNECTIONS, Scene};

/// Allows [`Mesh::CLIENT`] only, by the certificate's URI.
fn rules() -> Value {
    json!({
        "action": "ALLOW",
        "policies": {"mesh-client": {
            "permissions": [{"any": true}],
            "principals": [{"authenticated": {"principal_name": {"exact": Mesh::CLIENT}}}],
        }},
    })
}

#[tokio::test]
async fn rbac_behind_the_filter_still_sees_the_certificate_on_tcp_and_http() {
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
        sidecar.network_filters_last = vec![json!({
            "name": "envoy.filters.network.rbac",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
                "stat_prefix": "tcp.",
                "rules": rules(),
            },
        })];
        sidecar.http_filters_last = vec![json!({
            "name": "envoy.filters.http.rbac",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": rules()},
        })];
    })
    .await;
    let stranger = scene
        .sidecar
        .mesh
        .authority
        .spiffe("spiffe://cluster.local/ns/shop/sa/stranger")
        .unwrap();
    for (caller, port) in [
        (Caller::http1("127.0.0.2"), &scene.http),
        (Caller::http2("127.0.0.2"), &scene.http),
        (Caller::bytes("127.0.0.2"), &scene.tcp),
        (Caller::http1("127.0.0.2"), &scene.auto),
    ] {
        let protocol = caller.protocol;
        caller
            .clone()
            .over_mesh(scene.client())
            .call(port.address())
            .await
            .unwrap_or_else(|error| {
                panic!(
                    "{protocol:?}: the right certificate: {error:#}\n{}",
                    scene.envoy.log_tail()
                );
            });
        caller
            .clone()
            .over_mesh(&stranger)
            .call(port.address())
            .await
            .expect_err("another certificate");
        caller
            .call(port.address())
            .await
            .expect_err("no certificate");
    }
    let scrape = scene
        .counted(CONNECTIONS, &[("peer", "mutual_tls")], 8.0)
        .await;
    assert_eq!(
        scrape.sum(CONNECTIONS, &[("peer", "plaintext")]),
        4.0,
        "{:#?}",
        scrape.plainsight()
    );
}
