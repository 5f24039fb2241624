//! Pipelining and interleaving: the request being parsed may not belong to the connection that received data last.

use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::in_time;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{HEADER, REQUESTS, Scene, mesh_client, plaintext_from};

const SOURCES: [&str; 3] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
const REQUESTS_EACH: usize = 10;
/// A busy Envoy sometimes closes a connection between two pipelined requests, with or without filters. The test checks
/// the answers up to that point and retries.
const TRIES: usize = 5;

#[tokio::test]
async fn requests_that_arrive_in_one_packet_are_attributed_to_their_own_callers() {
    for _ in 0..TRIES {
        let scene = Scene::start(json!({})).await;
        if pipeline(&scene).await < SOURCES.len() * REQUESTS_EACH {
            continue;
        }
        for source in SOURCES {
            scene
                .counted(REQUESTS, &[("source_ip", source)], REQUESTS_EACH as f64)
                .await;
        }
        return;
    }
    panic!("Envoy closed a connection between two pipelined requests in each of {TRIES} tries");
}

/// Ten requests in one write on each connection, all connections before any answer is read. Returns the number
/// of answers; each must name its own caller.
async fn pipeline(scene: &Scene) -> usize {
    let mut streams = Vec::new();
    for source in SOURCES {
        let stream = Caller::http1(source).tcp(scene.http.address()).await;
        streams.push(stream.unwrap());
    }
    let request = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n".repeat(REQUESTS_EACH - 1)
        + "GET /last HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    let mut answered = 0;
    for (source, stream) in SOURCES.iter().zip(&mut streams) {
        let mut answers = Vec::new();
        // A connection closed early may end with a reset; the answers before it are checked.
        let _ = in_time("answers", async {
            Ok(stream.read_to_end(&mut answers).await)
        })
        .await
        .unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let served = answers.matches("HTTP/1.1 200 OK").count();
        let seen = serde_json::to_string(&plaintext_from(source)).unwrap();
        let named = answers.matches(&format!("\"{HEADER}\":[{seen}]")).count();
        // The last answer may be truncated.
        assert!(served - named <= 1, "{source}: {answers}");
        answered += named;
    }
    answered
}

#[tokio::test]
async fn alternating_plaintext_and_mutual_tls_requests_are_never_mixed_up() {
    let scene = Scene::start(json!({})).await;
    let mut plain = Caller::http1("127.0.0.2")
        .connect(scene.http.address())
        .await
        .unwrap();
    let mut mesh = Caller::http2("127.0.0.3")
        .over_mesh(scene.client())
        .connect(scene.http.address())
        .await
        .unwrap();
    for _ in 0..20 {
        let (a, b) = tokio::join!(plain.exchange("/"), mesh.exchange("/"));
        assert_eq!(
            a.unwrap().header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")]
        );
        assert_eq!(b.unwrap().header_seen_by_app(HEADER), [mesh_client()]);
    }
    scene
        .counted(REQUESTS, &[("peer", "mutual_tls")], 20.0)
        .await;
    let scrape = scene
        .counted(REQUESTS, &[("peer", "plaintext")], 20.0)
        .await;
    assert_eq!(
        scrape.sum("plainsight_connections_total", &[]),
        2.0,
        "{:#?}",
        scrape.plainsight()
    );
}
