//! A mutual TLS peer that breaks off, at any moment, is never taken for anything else.

use plainsight_integration::callers::{Caller, Tls};
use plainsight_integration::eventually::in_time;
use plainsight_integration::shapes::Port;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{ACTIVE, CONNECTIONS, REQUESTS, Scene};

/// Closes with a reset instead of a FIN.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// Half a ClientHello, then nothing more: the start of a TLS record of a handshake.
const HALF_CLIENT_HELLO: &[u8] = &[0x16, 3, 1, 0x02, 0x00, 1, 0, 0x01, 0xfc, 3, 3];

async fn abort_at_every_moment(caller: &Caller, tls: &Tls, port: &Port) {
    for with_reset in [false, true] {
        // Before a byte, within the ClientHello, after the handshake, after data.
        let stream = caller.tcp(port.address()).await.unwrap();
        if with_reset {
            reset(&stream);
        }
        drop(stream);

        let mut stream = caller.tcp(port.address()).await.unwrap();
        stream.write_all(HALF_CLIENT_HELLO).await.unwrap();
        if with_reset {
            reset(&stream);
        }
        drop(stream);

        let stream = caller.tcp(port.address()).await.unwrap();
        let stream = tls.handshake(stream).await.unwrap();
        if with_reset {
            reset(stream.get_ref().0);
        }
        drop(stream);

        let stream = caller.tcp(port.address()).await.unwrap();
        let mut stream = tls.handshake(stream).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        if with_reset {
            reset(stream.get_ref().0);
        }
        drop(stream);
    }
}

#[tokio::test]
async fn a_mutual_tls_peer_that_breaks_off_counts_as_nothing_else() {
    let scene = Scene::start(json!({})).await;
    let caller = Caller::bytes("127.0.0.2");
    for port in [&scene.http, &scene.tcp, &scene.auto] {
        for tls in [
            Tls::mesh(
                Some(scene.client()),
                plainsight_integration::callers::Speaks::Http1,
            ),
            Tls::mesh(
                Some(scene.client()),
                plainsight_integration::callers::Speaks::Bytes,
            ),
        ] {
            abort_at_every_moment(&caller, &tls, port).await;
        }
        // Whole calls between the aborted ones: nothing of those clings to the next connection.
        caller_of(port, &scene).call(port.address()).await.unwrap();
    }
    // All of it has been dealt with once later connections have come and gone, and the timer has counted them.
    let scrape = scene
        .envoy
        .scrape_until("three whole calls at least", |scrape| {
            for port in [&scene.http, &scene.tcp, &scene.auto] {
                let port = port.label();
                let sum = scrape.sum(
                    CONNECTIONS,
                    &[("peer", "mutual_tls"), ("destination_port", &port)],
                );
                anyhow::ensure!(sum >= 1.0, "{port}: {sum}");
            }
            Ok(())
        })
        .await
        .unwrap();
    for metric in [CONNECTIONS, REQUESTS, ACTIVE] {
        let others: Vec<_> = scrape
            .matching(metric, &[])
            .filter(|sample| sample.label("peer") != Some("mutual_tls"))
            .collect();
        assert!(others.is_empty(), "{others:#?}\n{}", scene.envoy.log_tail());
    }
    assert_eq!(
        scrape.sum("plainsight_attribute_errors_total", &[]),
        0.0,
        "{}",
        scene.envoy.log_tail()
    );
}

fn caller_of(port: &Port, scene: &Scene) -> Caller {
    let caller = if port.number() == scene.http.number() {
        Caller::http1("127.0.0.2")
    } else {
        Caller::bytes("127.0.0.2")
    };
    caller.over_mesh(scene.client())
}

#[tokio::test]
async fn a_half_closed_connection_is_counted_once_and_ends() {
    let scene = Scene::start(json!({})).await;
    let mut stream = Caller::bytes("127.0.0.2")
        .tcp(scene.tcp.address())
        .await
        .unwrap();
    in_time("half-closed", async {
        // Five bytes at least: the TLS inspector waits for the header of a record before it lets anything pass.
        stream.write_all(b"ping\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        // Not before the answer: the inspectors drop a connection that ends while they still look at it.
        stream.shutdown().await?;
        anyhow::ensure!(stream.read(&mut answer).await? == 0, "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    scene
        .counted(ACTIVE, &[("source_ip", "127.0.0.2")], 0.0)
        .await;
    let scrape = scene.envoy.scrape().await.unwrap();
    assert_eq!(
        scrape.sum(CONNECTIONS, &[]),
        1.0,
        "{:#?}",
        scrape.plainsight()
    );
}
