//! A mutual TLS peer that disconnects at any point is never reported as anything else.

use plainsight_harness::callers::{Caller, CallerProtocol, Tls, TlsVersion};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::eventually::{eventually, in_time};
use plainsight_harness::exposition::Scrape;
use plainsight_harness::shapes::{ClientSidecar, Port};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{ATTRIBUTE_ERRORS, CONNECTIONS, HANDSHAKE_FAILURES, LAST_SEEN, REQUESTS, Scene};

/// The first bytes of a TLS handshake record: half a ClientHello.
const HALF_CLIENT_HELLO: &[u8] = &[0x16, 3, 1, 0x02, 0x00, 1, 0, 0x01, 0xfc, 3, 3];

/// A FIN, or a reset.
fn leave(stream: TcpStream, with_reset: bool) {
    if with_reset {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
}

async fn leave_at_every_moment(caller: &Caller, tls: &Tls, port: &Port) {
    for with_reset in [false, true] {
        let connect = async || caller.tcp(port.address()).await.unwrap();
        // Before any byte.
        leave(connect().await, with_reset);

        // Within the ClientHello.
        let mut stream = connect().await;
        stream.write_all(HALF_CLIENT_HELLO).await.unwrap();
        leave(stream, with_reset);

        // After the ClientHello, without and with the server's answer.
        let mut stream = connect().await;
        stream
            .write_all(&tls.client_hello().unwrap())
            .await
            .unwrap();
        leave(stream, with_reset);
        let mut stream = connect().await;
        stream
            .write_all(&tls.client_hello().unwrap())
            .await
            .unwrap();
        in_time("the server's first byte", async {
            anyhow::ensure!(stream.read(&mut [0]).await? == 1);
            Ok(())
        })
        .await
        .unwrap();
        leave(stream, with_reset);

        // After the handshake.
        let stream = tls.handshake(connect().await).await.unwrap();
        leave(stream.into_inner().0, with_reset);

        // After data.
        let mut stream = tls.handshake(connect().await).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        leave(stream.into_inner().0, with_reset);
    }
}

fn assert_only_mutual_tls(scene: &Scene, scrape: &Scrape) {
    for metric in [CONNECTIONS, REQUESTS, LAST_SEEN, HANDSHAKE_FAILURES] {
        let others: Vec<_> = scrape
            .matching(metric, &[])
            .filter(|sample| sample.label("peer") != Some("mutual_tls"))
            .map(ToString::to_string)
            .collect();
        assert!(others.is_empty(), "{others:#?}");
    }
    let errors = scrape.sum(ATTRIBUTE_ERRORS, &[]);
    assert_eq!(errors, 0.0, "{}", scene.envoy.log_tail());
}

#[tokio::test]
async fn a_mutual_tls_peer_that_disconnects_at_any_point_is_never_reported_as_anything_else() {
    let scene = Scene::start(json!({})).await;
    let caller = Caller::bytes("127.0.0.2");
    for port in [&scene.http, &scene.tcp, &scene.auto] {
        for protocol in [CallerProtocol::Http1, CallerProtocol::Bytes] {
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let tls = Tls::mesh(Some(scene.client()), protocol).in_version(version);
                leave_at_every_moment(&caller, &tls, port).await;
            }
        }
        // A complete call to each port. Once it is counted, all aborted connections have been accepted too, because the
        // backlog is served in order.
        caller_of(port, &scene).call(port.address()).await.unwrap();
    }
    let scrape = scene.settled().await;
    for port in [&scene.http, &scene.tcp, &scene.auto] {
        let port = port.label();
        let labels = [("peer", "mutual_tls"), ("destination_port", port.as_str())];
        assert!(scrape.sum(CONNECTIONS, &labels) >= 1.0, "{port}");
    }
    assert_only_mutual_tls(&scene, &scrape);
}

fn caller_of(port: &Port, scene: &Scene) -> Caller {
    let caller = if port.number() == scene.http.number() {
        Caller::http1("127.0.0.2")
    } else {
        Caller::bytes("127.0.0.2")
    };
    caller.over_mesh(scene.client())
}

/// A real client sidecar forwards its application's reset to the server, before or after the handshake.
#[tokio::test]
async fn a_client_sidecar_whose_application_resets_a_silent_connection_is_not_reported() {
    let scene = Scene::start(json!({})).await;
    let source = "127.0.0.2".parse().unwrap();
    let client = ClientSidecar::new(scene.sidecar.mesh.clone(), source, scene.tcp.address())
        .unwrap()
        .carrying_bytes();
    let client_envoy = Envoy::start(&client).await.unwrap();
    let application = Caller::bytes("127.0.0.1");
    for _ in 0..10 {
        let before = scene.app.connections();
        let stream = application.tcp(client.address()).await.unwrap();
        // The server's sidecar connects to its application as soon as it has the client sidecar's ClientHello.
        eventually("the server's application is connected", || async {
            anyhow::ensure!(scene.app.connections() > before);
            Ok(())
        })
        .await
        .unwrap();
        leave(stream, true);
        client_envoy.idle().await.unwrap();
    }
    application.call(client.address()).await.unwrap();
    assert_only_mutual_tls(&scene, &scene.settled().await);
}

#[tokio::test]
async fn a_half_closed_connection_is_counted_once_and_ends() {
    let scene = Scene::start(json!({})).await;
    let mut stream = Caller::bytes("127.0.0.2")
        .tcp(scene.tcp.address())
        .await
        .unwrap();
    in_time("half-closed", async {
        // At least five bytes: the TLS inspector waits for a complete record header.
        stream.write_all(b"ping\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        // Only after the answer: the inspectors drop a connection that ends during inspection.
        stream.shutdown().await?;
        anyhow::ensure!(stream.read(&mut answer).await? == 0, "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    scene.envoy.idle().await.unwrap();
    let scrape = scene.envoy.scrape().await.unwrap();
    assert_eq!(
        scrape.sum(CONNECTIONS, &[]),
        1.0,
        "{:#?}",
        scrape.plainsight()
    );
}
