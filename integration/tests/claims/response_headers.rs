//! The opt-in headers that tell a caller it would break.

use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{HEADER, Scene, plaintext_from};

#[tokio::test]
async fn a_caller_that_would_break_is_told_with_dates_and_a_link() {
    let scene = Scene::start(json!({
        "responseHeader": "x-plainsight-verdict",
        "deprecation": {
            "since": "2026-01-01T00:00:00Z",
            "sunset": "2026-12-31T23:59:59Z",
            "link": "https://wiki.example.com/strict-mtls",
        },
    }))
    .await;
    for caller in [
        Caller::http1("127.0.0.2"),
        Caller::http2("127.0.0.2"),
        Caller::grpc("127.0.0.2"),
    ] {
        let speaks = caller.speaks;
        let reply = caller.call(scene.http.address()).await.unwrap();
        let header = |name: &str| {
            reply
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("x-plainsight-verdict"),
            Some(plaintext_from("127.0.0.2")),
            "{speaks:?}"
        );
        assert_eq!(
            header("deprecation").as_deref(),
            Some("@1767225600"),
            "{speaks:?}"
        );
        assert_eq!(
            header("sunset").as_deref(),
            Some("Thu, 31 Dec 2026 23:59:59 GMT"),
            "{speaks:?}"
        );
        assert_eq!(
            header("link").as_deref(),
            Some("<https://wiki.example.com/strict-mtls>; rel=\"deprecation\""),
            "{speaks:?}"
        );
    }
    let reply = Caller::http1("127.0.0.2")
        .over_mesh(scene.client())
        .call(scene.http.address())
        .await
        .unwrap();
    for name in ["x-plainsight-verdict", "deprecation", "sunset", "link"] {
        assert!(
            reply.headers.get(name).is_none(),
            "a mutual TLS peer is told nothing: {name}"
        );
    }
}

#[tokio::test]
async fn callers_are_told_nothing_by_default() {
    let scene = Scene::start(json!({})).await;
    let reply = Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    for name in [
        HEADER,
        "x-plainsight-verdict",
        "deprecation",
        "sunset",
        "link",
    ] {
        assert!(reply.headers.get(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn the_request_header_can_be_renamed_and_turned_off() {
    let renamed = Scene::start(json!({"requestHeader": "x-who"})).await;
    let caller = Caller::http1("127.0.0.2")
        .with_header("x-who", "forged")
        .with_header(HEADER, "another header");
    let reply = caller.call(renamed.http.address()).await.unwrap();
    assert_eq!(
        reply.header_seen_by_app("x-who"),
        [plaintext_from("127.0.0.2")]
    );
    assert_eq!(reply.header_seen_by_app(HEADER), ["another header"]);

    let off = Scene::start(json!({"requestHeader": null})).await;
    let reply = Caller::http1("127.0.0.2")
        .call(off.http.address())
        .await
        .unwrap();
    assert_eq!(reply.header_seen_by_app(HEADER), [""; 0]);
    off.counted(
        "plainsight_requests_total",
        &[("source_ip", "127.0.0.2")],
        1.0,
    )
    .await;
}
