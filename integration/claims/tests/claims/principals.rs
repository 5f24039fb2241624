//! `principals: true` labels mutual TLS peers with their SPIFFE id, up to `maxCallers` of them.

use plainsight_harness::callers::Caller;
use plainsight_harness::pki::Mesh;
use serde_json::json;

use crate::scene::{CONNECTIONS, OVERFLOW, REQUESTS, Scene};

#[tokio::test]
async fn each_spiffe_id_has_its_series_up_to_the_cap() {
    let scene = Scene::start(json!({"principals": true, "maxCallers": 3})).await;
    for index in 0..6 {
        let principal = format!("spiffe://cluster.local/ns/shop/sa/web-{index}");
        let identity = scene.sidecar.mesh.authority.spiffe(&principal).unwrap();
        assert_eq!(
            scene
                .header_from(Caller::http1("127.0.0.2").over_mesh(&identity))
                .await,
            [format!("mutual_tls;strict=allow;principal=\"{principal}\"")]
        );
    }
    scene.counted(REQUESTS, &[], 6.0).await;
    let scrape = scene.counted(CONNECTIONS, &[], 6.0).await;
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(
            scrape.sum(metric, &[("source_principal", "overflow")]),
            3.0,
            "{:#?}",
            scrape.plainsight()
        );
        assert_eq!(scrape.count(metric, &[]), 4, "{:#?}", scrape.plainsight());
    }
}

#[tokio::test]
async fn by_default_mutual_tls_peers_share_one_series() {
    let scene = Scene::start(json!({})).await;
    let other = scene
        .sidecar
        .mesh
        .authority
        .spiffe("spiffe://cluster.local/ns/shop/sa/other")
        .unwrap();
    for identity in [scene.client(), &other] {
        Caller::bytes("127.0.0.2")
            .over_mesh(identity)
            .call(scene.tcp.address())
            .await
            .unwrap();
    }
    let scrape = scene
        .counted(CONNECTIONS, &[("peer", "mutual_tls")], 2.0)
        .await;
    assert_eq!(
        scrape.count(CONNECTIONS, &[]),
        1,
        "{:#?}",
        scrape.plainsight()
    );
    assert!(!scrape.plainsight().join("\n").contains(Mesh::CLIENT));
}

#[tokio::test]
async fn a_spiffe_id_with_special_characters_reaches_the_application_intact() {
    let scene = Scene::start(json!({"principals": true})).await;
    let principal = "spiffe://x/ns/a;b=\"c\\d\"/sa/%2e,;";
    let identity = scene.sidecar.mesh.authority.spiffe(principal).unwrap();
    assert_eq!(
        scene
            .header_from(Caller::http1("127.0.0.2").over_mesh(&identity))
            .await,
        [r#"mutual_tls;strict=allow;principal="spiffe://x/ns/a;b=\"c\\d\"/sa/%2e,;""#]
    );
    let scrape = scene
        .counted(REQUESTS, &[("peer", "mutual_tls")], 1.0)
        .await;
    let labels = [(
        "source_principal",
        "spiffe://x/ns/a%3Bb%3D%22c%5Cd%22/sa/%252e%2C%3B",
    )];
    assert_eq!(
        scrape.sum(REQUESTS, &labels),
        1.0,
        "{:#?}",
        scrape.plainsight()
    );
}

/// A certificate may contain any URI, including the filter's own `overflow`.
#[tokio::test]
async fn a_certificate_for_the_uri_overflow_is_not_mixed_up_with_the_overflow_series() {
    let scene = Scene::start(json!({"principals": true, "maxCallers": 1})).await;
    for uri in [
        "overflow",
        "spiffe://x/ns/a/sa/one",
        "spiffe://x/ns/a/sa/two",
    ] {
        let identity = scene.sidecar.mesh.authority.spiffe(uri).unwrap();
        let caller = Caller::bytes("127.0.0.2").over_mesh(&identity);
        caller.call(scene.tcp.address()).await.unwrap();
    }
    let scrape = scene.counted(CONNECTIONS, &[], 3.0).await;
    let overflow = [("source_principal", "overflow")];
    assert_eq!(
        (
            scrape.sum(CONNECTIONS, &overflow),
            scrape.count(CONNECTIONS, &[])
        ),
        (2.0, 2),
        "{:#?}",
        scrape.plainsight()
    );
    assert_eq!(scrape.sum(OVERFLOW, &[]), 2.0);
}
