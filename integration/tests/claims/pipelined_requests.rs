//! Pipelining and interleaving: the connection whose bytes came last need not be the one whose request is parsed.

use plainsight_integration::callers::Caller;
use plainsight_integration::eventually::in_time;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{HEADER, REQUESTS, Scene, mesh_client, plaintext_from};

#[tokio::test]
async fn requests_that_arrive_in_one_packet_are_each_their_callers_own() {
    let scene = Scene::start(json!({})).await;
    let sources = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let mut streams = Vec::new();
    for source in sources {
        streams.push(
            Caller::http1(source)
                .tcp(scene.http.address())
                .await
                .unwrap(),
        );
    }
    // Ten requests in one write on each connection, all connections before any answer is read.
    let request = "GET / HTTP/1.1\r\nhost: orders\r\n\r\n".repeat(9)
        + "GET /last HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    for (source, stream) in sources.iter().zip(&mut streams) {
        let mut answers = String::new();
        in_time("answers", async {
            Ok(stream.read_to_string(&mut answers).await?)
        })
        .await
        .unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 10, "{answers}");
        let seen = serde_json::to_string(&plaintext_from(source)).unwrap();
        assert_eq!(
            answers.matches(&format!("\"{HEADER}\":[{seen}]")).count(),
            10,
            "{source}: {answers}"
        );
    }
    for source in sources {
        scene
            .counted(REQUESTS, &[("source_ip", source)], 10.0)
            .await;
    }
}

#[tokio::test]
async fn plain_and_mutual_tls_requests_in_turn_are_never_mixed_up() {
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
