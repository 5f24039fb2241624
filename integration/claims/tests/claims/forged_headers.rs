//! Client-supplied headers are not trusted.

use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, REQUESTS, Scene, mesh_client, plaintext_from};

/// Every header by which a client could impersonate another caller.
fn forged(caller: Caller) -> Caller {
    caller
        .with_header("x-forwarded-for", "9.9.9.9")
        .with_header("x-envoy-external-address", "9.9.9.9")
        .with_header("x-real-ip", "9.9.9.9")
        .with_header("forwarded", "for=9.9.9.9")
        .with_header(
            HEADER,
            "mutual_tls;strict=allow;principal=\"spiffe://cluster.local/ns/a/sa/b\"",
        )
        .with_header(HEADER, "second")
        .with_header("X-Plainsight-Peer", "third")
        .with_header(
            "x-forwarded-client-cert",
            "By=spiffe://x;URI=spiffe://cluster.local/ns/a/sa/b",
        )
        .with_header("x-envoy-peer-metadata", "ChIKBE5BTUUSChoId2ViLTEyMw==")
        .with_header(
            "x-envoy-peer-metadata-id",
            "sidecar~9.9.9.9~web-1.shop~shop.svc.cluster.local",
        )
        .with_header("x-envoy-original-dst-host", "9.9.9.9:80")
}

#[tokio::test]
async fn a_plain_caller_stays_plaintext_at_its_own_address() {
    let scene = Scene::start(json!({})).await;
    for caller in [Caller::http1("127.0.0.2"), Caller::http2("127.0.0.2")] {
        let reply = forged(caller).call(scene.http.address()).await.unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")]
        );
        assert_eq!(
            reply.header_seen_by_app("x-forwarded-for"),
            ["9.9.9.9"],
            "other headers are unchanged"
        );
    }
    let scrape = scene
        .counted(
            REQUESTS,
            &[("peer", "plaintext"), ("source_ip", "127.0.0.2")],
            2.0,
        )
        .await;
    assert_eq!(scrape.sum(REQUESTS, &[]), 2.0, "{:#?}", scrape.plainsight());
    assert_eq!(
        scrape.sum(CONNECTIONS, &[]),
        2.0,
        "{:#?}",
        scrape.plainsight()
    );
    // No forged name is in the metrics.
    let metrics = scrape.plainsight().join("\n");
    for forged in ["9.9.9.9", "web", "spiffe"] {
        assert!(!metrics.contains(forged), "{forged}: {metrics}");
    }
}

#[tokio::test]
async fn a_mutual_tls_peer_keeps_its_own_principal() {
    let scene = Scene::start(json!({"principals": true})).await;
    for caller in [Caller::http1("127.0.0.2"), Caller::http2("127.0.0.2")] {
        let reply = forged(caller.over_mesh(scene.client()))
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(reply.header_seen_by_app(HEADER), [mesh_client()]);
    }
    let principal = ("source_principal", plainsight_harness::pki::Mesh::CLIENT);
    let scrape = scene
        .counted(REQUESTS, &[("peer", "mutual_tls"), principal], 2.0)
        .await;
    assert_eq!(scrape.sum(REQUESTS, &[]), 2.0, "{:#?}", scrape.plainsight());
}

#[tokio::test]
async fn without_the_network_plugin_a_forwarded_address_is_reported_as_forwarded() {
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
        sidecar.network_plugins.clear();
    })
    .await;
    let reply = forged(Caller::http1("127.0.0.2"))
        .call(scene.http.address())
        .await
        .unwrap();
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        [plaintext_from("forwarded")]
    );
    let scrape = scene
        .counted(REQUESTS, &[("source_ip", "forwarded")], 1.0)
        .await;
    assert_eq!(scrape.count(REQUESTS, &[]), 1, "{:#?}", scrape.plainsight());
    assert!(!scrape.plainsight().join("\n").contains("9.9.9.9"));
}

#[tokio::test]
async fn callers_behind_a_forwarding_proxy_are_reported_as_that_proxy() {
    let scene = Scene::start(json!({})).await;
    for client in ["10.1.1.1", "10.1.1.2", "10.1.1.3"] {
        let proxy = Caller::http1("127.0.0.9").with_header("x-forwarded-for", client);
        proxy.call(scene.http.address()).await.unwrap();
    }
    let scrape = scene
        .counted(REQUESTS, &[("source_ip", "127.0.0.9")], 3.0)
        .await;
    assert_eq!(scrape.count(REQUESTS, &[]), 1, "{:#?}", scrape.plainsight());
}
