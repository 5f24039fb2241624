//! Header bytes that are not text, and bytes that are not HTTP: Envoy serves or rejects them, they are counted, and no VM
//! dies.

use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::in_time;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{ATTRIBUTE_ERRORS, HEADER, REQUESTS, Scene, plaintext_from};

#[tokio::test]
async fn a_user_agent_that_is_not_utf8_is_served_and_counted() {
    let scene = Scene::start(json!({"responseHeader": "x-plainsight-verdict"})).await;
    for (times, bytes) in [
        &b"kube-probe/\xff\xfe"[..],
        b"\x80",
        b"\xc3\x28",
        b"\xf0\x9f\x92",
    ]
    .into_iter()
    .enumerate()
    {
        for caller in [Caller::http1("127.0.0.2"), Caller::http2("127.0.0.2")] {
            let caller = caller
                .with_header("user-agent", bytes)
                .with_header("x-forwarded-for", bytes)
                .with_header(HEADER, bytes)
                .with_header("x-plainsight-verdict", bytes);
            let reply = caller.call(scene.http.address()).await.unwrap();
            assert_eq!(
                reply.header_seen_by_app(HEADER),
                [plaintext_from("127.0.0.2")],
                "{bytes:?}"
            );
        }
        scene
            .counted(
                REQUESTS,
                &[("source_ip", "127.0.0.2")],
                2.0 * (times + 1) as f64,
            )
            .await;
    }
    let scrape = scene.envoy.scrape().await.unwrap();
    assert_eq!(scrape.sum(ATTRIBUTE_ERRORS, &[]), 0.0);
    assert!(
        !scene.envoy.log().contains("Function: proxy_"),
        "{}",
        scene.envoy.log_tail()
    );
}

#[tokio::test]
async fn a_very_long_user_agent_is_served_and_counted() {
    let scene = Scene::start(json!({})).await;
    let caller = Caller::http1("127.0.0.2").with_header("user-agent", "x".repeat(50_000));
    caller.call(scene.http.address()).await.unwrap();
    scene
        .counted(
            REQUESTS,
            &[("source_ip", "127.0.0.2"), ("traffic", "app")],
            1.0,
        )
        .await;
}

#[tokio::test]
async fn noise_on_an_http_port_is_counted_as_a_plaintext_connection_without_requests() {
    let scene = Scene::start(json!({})).await;
    let mut stream = Caller::bytes("127.0.0.2")
        .tcp(scene.http.address())
        .await
        .unwrap();
    stream
        .write_all(b"\x00\x01\x02 not http at all \r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // Either a 400 or a reset.
    let _ = in_time("the end", async {
        Ok(stream.read_to_end(&mut answer).await)
    })
    .await
    .unwrap();
    let scrape = scene
        .counted(
            "plainsight_connections_total",
            &[("peer", "plaintext"), ("source_ip", "127.0.0.2")],
            1.0,
        )
        .await;
    assert_eq!(scrape.count(REQUESTS, &[]), 0, "{:#?}", scrape.plainsight());
}
