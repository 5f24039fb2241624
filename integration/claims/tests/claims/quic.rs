//! A QUIC listener: network filters see its connections open and close, but no data. A client that was served is not a
//! failed handshake.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::envoy::{Configuration, Envoy};
use plainsight_harness::eventually::in_time;
use plainsight_harness::shapes::Sidecar;
use serde_json::{Value, json};

use crate::scene::{CONNECTIONS, HANDSHAKE_FAILURES, one_http_port};

/// A sidecar with one HTTP port, and on the same port over UDP the same filters for HTTP/3.
struct WithQuic(Sidecar);

impl Configuration for WithQuic {
    fn bootstrap(&self) -> Value {
        self.0.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        let mut listeners = self.0.listeners();
        let mut chain = listeners[0]["filter_chains"][0].clone();
        chain["filter_chain_match"] = json!({});
        let manager = chain["filters"].as_array_mut().unwrap().last_mut().unwrap();
        manager["typed_config"]["codec_type"] = json!("HTTP3");
        let mut tls = chain["transport_socket"]["typed_config"].clone();
        // Envoy's QUIC listeners do not support client certificates.
        tls["require_client_certificate"] = json!(false);
        tls["common_tls_context"] = json!({
            "tls_certificates": tls["common_tls_context"]["tls_certificates"],
            "alpn_protocols": ["h3"],
        });
        chain["transport_socket"] = json!({
            "name": "envoy.transport_sockets.quic",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
                "downstream_tls_context": tls,
            },
        });
        listeners.push(json!({
            "name": "quic",
            "address": {"socket_address": {
                "protocol": "UDP", "address": "127.0.0.1", "port_value": self.0.ports[0].number(),
            }},
            "traffic_direction": "INBOUND",
            "udp_listener_config": {"quic_options": {"idle_timeout": "1s"}},
            "filter_chains": [chain],
        }));
        listeners
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

/// The side that ends a connection.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Client,
    /// By the idle timeout, while the client stays.
    Envoy,
}

/// One request over HTTP/3; the status.
async fn request(envoy: &Envoy, to: SocketAddr, ends: Ends) -> anyhow::Result<u16> {
    let mut tls = Tls::own(TlsVersion::V1_3);
    tls.alpn = vec!["h3".to_owned()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls.config()?)?;
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::new(127, 0, 0, 2), 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let connection = endpoint.connect(to, "orders.legacy.svc.cluster.local")?;
    let connection = h3_quinn::Connection::new(connection.await?);
    let (mut driver, mut sender) = h3::client::new(connection).await?;
    let driver = tokio::spawn(async move { drop(driver.wait_idle().await) });
    let mut stream = sender
        .send_request(hyper::Request::get("https://orders/").body(())?)
        .await?;
    stream.finish().await?;
    let status = stream.recv_response().await?.status();
    while stream.recv_data().await?.is_some() {}
    if matches!(ends, Ends::Envoy) {
        envoy.idle().await?;
    }
    drop((stream, sender));
    driver.await?;
    endpoint.close(0u8.into(), b"");
    endpoint.wait_idle().await;
    Ok(status.as_u16())
}

#[tokio::test]
async fn a_client_served_over_quic_is_not_a_failed_handshake() {
    let (_app, port, sidecar) = one_http_port().await;
    let mesh = sidecar.mesh.clone();
    let envoy = Envoy::start(&WithQuic(sidecar)).await.unwrap();
    for ends in [Ends::Client, Ends::Envoy] {
        let status = request(&envoy, port.address(), ends);
        let status = in_time("HTTP/3", status).await.unwrap();
        assert_eq!(status, 200, "{ends:?}");
    }
    envoy.idle().await.unwrap();
    // The timer flushes mutual TLS counts, so a count proves that it has run since.
    let call = Caller::http1("127.0.0.3").over_mesh(&mesh.client);
    call.call(port.address()).await.unwrap();
    let scrape = envoy
        .scrape_until("one mutual TLS connection", |scrape| {
            anyhow::ensure!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]) == 1.0);
            Ok(())
        })
        .await
        .unwrap();
    for metric in [CONNECTIONS, HANDSHAKE_FAILURES] {
        let quic = scrape.count(metric, &[("source_ip", "127.0.0.2")]);
        assert_eq!(quic, 0, "{metric}: {:#?}", scrape.plainsight());
    }
}
