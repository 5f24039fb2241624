//! The role of a plugin is detected, not configured: one plugin without the other, and misleading names.

use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::shapes::Plugin;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, REQUESTS, Scene, mesh_client, plaintext_from};

#[tokio::test]
async fn the_network_plugin_alone_reports_every_connection_and_no_request() {
    let scene = Scene::with(|sidecar| {
        sidecar.network_plugins = vec![Plugin::plainsight("network", &json!({})).unwrap()];
    })
    .await;
    assert_eq!(scene.header_from(Caller::http1("127.0.0.2")).await, [""; 0]);
    Caller::bytes("127.0.0.3")
        .call(scene.tcp.address())
        .await
        .unwrap();
    Caller::http1("127.0.0.4")
        .over(Tls::own(TlsVersion::V1_3))
        .call(scene.tcp.address())
        .await
        .unwrap();
    Caller::http1("127.0.0.5")
        .over_mesh(scene.client())
        .call(scene.http.address())
        .await
        .unwrap();
    let scrape = scene.counted(CONNECTIONS, &[], 4.0).await;
    for (peer, source) in [
        ("plaintext", "127.0.0.2"),
        ("plaintext", "127.0.0.3"),
        ("tls_passthrough", "127.0.0.4"),
    ] {
        assert_eq!(
            scrape.sum(CONNECTIONS, &[("peer", peer), ("source_ip", source)]),
            1.0,
            "{:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 1.0);
    assert_eq!(scrape.count(REQUESTS, &[]), 0, "{:#?}", scrape.plainsight());
}

#[tokio::test]
async fn the_http_plugin_alone_reports_every_request_and_its_connection() {
    let scene = Scene::with(|sidecar| {
        sidecar.http_plugins = vec![Plugin::plainsight("http", &json!({})).unwrap()];
    })
    .await;
    let mut connection = Caller::http1("127.0.0.2")
        .connect(scene.http.address())
        .await
        .unwrap();
    for _ in 0..3 {
        let reply = connection.exchange("/").await.unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")]
        );
    }
    assert_eq!(
        scene
            .header_from(Caller::http2("127.0.0.3").over_mesh(scene.client()))
            .await,
        [mesh_client()]
    );
    let scrape = scene.counted(REQUESTS, &[], 4.0).await;
    assert_eq!(
        scrape.sum(
            REQUESTS,
            &[("peer", "plaintext"), ("source_ip", "127.0.0.2")]
        ),
        3.0
    );
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "mutual_tls")]), 1.0);
}

#[tokio::test]
async fn misleading_names_change_nothing() {
    for (network, http) in [
        ("plainsight-http", "plainsight-network"),
        ("same", "same"),
        ("", ""),
    ] {
        let scene = Scene::with(|sidecar| {
            let plugin = |root_id: &str, name| Plugin {
                root_id: root_id.to_owned(),
                ..Plugin::plainsight(name, &json!({})).unwrap()
            };
            sidecar.network_plugins = vec![plugin(network, "first")];
            sidecar.http_plugins = vec![plugin(http, "second")];
        })
        .await;
        assert_eq!(
            scene.header_from(Caller::http1("127.0.0.2")).await,
            [plaintext_from("127.0.0.2")],
            "{network} {http}"
        );
        Caller::bytes("127.0.0.2")
            .call(scene.tcp.address())
            .await
            .unwrap();
        let scrape = scene
            .counted(CONNECTIONS, &[("source_ip", "127.0.0.2")], 2.0)
            .await;
        assert_eq!(
            scrape.sum(REQUESTS, &[("source_ip", "127.0.0.2")]),
            1.0,
            "{:#?}",
            scrape.plainsight()
        );
    }
}
