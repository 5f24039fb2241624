//! Outbound listeners are ignored, whatever the plugin's `match` selects.

use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, LAST_SEEN, REQUESTS, Scene};

#[tokio::test]
async fn nothing_is_counted_and_no_header_is_touched() {
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({"responseHeader": "x-verdict"}))
            .unwrap();
        sidecar.traffic_direction = "OUTBOUND".to_owned();
    })
    .await;
    let caller = Caller::http1("127.0.0.2").with_header(HEADER, "the application's own");
    let reply = caller.call(scene.http.address()).await.unwrap();
    assert_eq!(reply.header_seen_by_app(HEADER), ["the application's own"]);
    assert!(reply.headers.get("x-verdict").is_none());
    Caller::bytes("127.0.0.2")
        .call(scene.tcp.address())
        .await
        .unwrap();
    Caller::http1("127.0.0.2")
        .over_mesh(scene.client())
        .call(scene.http.address())
        .await
        .unwrap();

    // Inbound traffic through the same plugins is counted afterwards, so nothing of the above is still pending.
    let mut scene = scene;
    scene.sidecar.traffic_direction = "INBOUND".to_owned();
    scene.envoy.apply(&scene.sidecar).await.unwrap();
    Caller::http1("127.0.0.3")
        .over_mesh(scene.client())
        .call(scene.http.address())
        .await
        .unwrap();
    let scrape = scene
        .counted(REQUESTS, &[("peer", "mutual_tls")], 1.0)
        .await;
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(scrape.sum(metric, &[]), 1.0, "{:#?}", scrape.plainsight());
    }
    assert_eq!(
        scrape.count(LAST_SEEN, &[]),
        0,
        "{:#?}",
        scrape.plainsight()
    );
}
