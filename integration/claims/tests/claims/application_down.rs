//! Connections that Envoy itself closes before any byte reaches the filter: `tcp_proxy` reads nothing until its
//! upstream is connected, and rate and connection limits close immediately. A mutual TLS peer is still in its
//! handshake then and must not be reported. A plaintext caller is counted, because STRICT would have rejected it.

use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, CallerProtocol, Tls, TlsVersion};
use plainsight_harness::eventually::in_time;
use plainsight_harness::exposition::Scrape;
use plainsight_harness::ports::ReservedPort;
use plainsight_harness::shapes::{Mode, Port, Protocol};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scene::{
    CONNECTIONS, HANDSHAKE_FAILURES, LAST_SEEN, OVERFLOW, REQUESTS, Scene, application_down,
    send_and_wait_for_close,
};

/// A sidecar with an extra TCP port whose application is down.
async fn outage(configuration: Value) -> (Scene, Port, ReservedPort) {
    let (address, reserved) = application_down();
    let port = Port::declared(Protocol::Tcp, address).unwrap();
    let down = port.clone();
    let scene = Scene::with(|sidecar| {
        sidecar.ports.push(down);
        *sidecar = sidecar.clone().with_plainsight(configuration).unwrap();
    })
    .await;
    (scene, port, reserved)
}

/// A mutual TLS peer that is slower than the sidecar: it has sent its ClientHello when Envoy closes.
async fn slow_mutual_tls(scene: &Scene, source: &str, port: &Port, version: TlsVersion) {
    let tls = Tls::mesh(Some(scene.client()), CallerProtocol::Bytes).in_version(version);
    let hello = tls.client_hello().unwrap();
    send_and_wait_for_close(&Caller::bytes(source), port, &hello).await;
}

fn on(scrape: &Scrape, port: &str) -> Vec<String> {
    let destination = [("destination_port", port)];
    [CONNECTIONS, REQUESTS, LAST_SEEN, HANDSHAKE_FAILURES]
        .iter()
        .flat_map(|metric| {
            scrape
                .matching(metric, &destination)
                .map(ToString::to_string)
        })
        .collect()
}

#[tokio::test]
async fn a_mutual_tls_peer_is_not_reported_while_the_application_is_down() {
    let (scene, port, _reserved) = outage(json!({})).await;
    for _ in 0..20 {
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            slow_mutual_tls(&scene, "127.0.0.2", &port, version).await;
        }
        // A fast peer may complete its handshake first; its call fails too.
        let caller = Caller::bytes("127.0.0.2").over_mesh(scene.client());
        caller.call(port.address()).await.unwrap_err();
    }
    assert_eq!(on(&scene.settled().await, &port.label()), [""; 0]);
}

#[tokio::test]
async fn plaintext_and_passthrough_callers_are_counted_while_the_application_is_down() {
    let (scene, port, _reserved) = outage(json!({})).await;
    for _ in 0..10 {
        send_and_wait_for_close(&Caller::bytes("127.0.0.2"), &port, b"ping\n").await;
        let hello = Tls::own(TlsVersion::V1_3).client_hello().unwrap();
        send_and_wait_for_close(&Caller::bytes("127.0.0.3"), &port, &hello).await;
    }
    let scrape = scene.settled().await;
    let label = port.label();
    for (peer, source) in [("plaintext", "127.0.0.2"), ("tls_passthrough", "127.0.0.3")] {
        let labels = [
            ("peer", peer),
            ("strict", "reject"),
            ("source_ip", source),
            ("destination_port", label.as_str()),
        ];
        assert_eq!(
            (
                scrape.sum(CONNECTIONS, &labels),
                scrape.count(LAST_SEEN, &labels)
            ),
            (10.0, 1),
            "{labels:?}: {:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(
        on(&scrape, &label).len(),
        4,
        "nothing else: {:#?}",
        scrape.plainsight()
    );
}

#[tokio::test]
async fn mutual_tls_peers_in_an_outage_do_not_use_up_the_names_of_plaintext_callers() {
    let (scene, port, _reserved) = outage(json!({"maxCallers": 20})).await;
    for peer in 1..=60 {
        let source = format!("127.0.3.{peer}");
        slow_mutual_tls(&scene, &source, &port, TlsVersion::V1_3).await;
    }
    let callers: Vec<_> = (1..=5).map(|caller| format!("127.0.4.{caller}")).collect();
    for source in &callers {
        let caller = Caller::bytes(source);
        caller.call(scene.tcp.address()).await.unwrap();
    }
    let scrape = scene.settled().await;
    for source in &callers {
        assert_eq!(
            scrape.sum(CONNECTIONS, &[("source_ip", source)]),
            1.0,
            "{source}: {:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(scrape.sum(OVERFLOW, &[]), 0.0);
}

#[tokio::test]
async fn a_mutual_tls_peer_whose_listener_drains_during_its_handshake_is_not_reported() {
    let mut scene = Scene::start(json!({})).await;
    let caller = Caller::bytes("127.0.0.2");
    let mut waiting = Vec::new();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = Tls::mesh(Some(scene.client()), CallerProtocol::Bytes).in_version(version);
        let mut stream = caller.tcp(scene.tcp.address()).await.unwrap();
        let hello = tls.client_hello().unwrap();
        stream.write_all(&hello).await.unwrap();
        waiting.push(stream);
    }
    for stream in &mut waiting {
        in_time("the server's first byte", async {
            anyhow::ensure!(stream.read(&mut [0]).await? == 1);
            Ok(())
        })
        .await
        .unwrap();
    }
    scene.sidecar = scene.sidecar.in_mode(Mode::Strict);
    scene.envoy.apply(&scene.sidecar).await.unwrap();
    assert_eq!(on(&scene.settled().await, &scene.tcp.label()), [""; 0]);
}

/// Filters behind the plugins that close connections immediately. Each admits one connection.
fn limits() -> [(&'static str, Value); 2] {
    [
        (
            "local_ratelimit",
            json!({
                "name": "envoy.filters.network.local_ratelimit",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
                    "stat_prefix": "limit",
                    "token_bucket": {"max_tokens": 1, "fill_interval": "86400s"},
                },
            }),
        ),
        (
            "connection_limit",
            json!({
                "name": "envoy.filters.network.connection_limit",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
                    "stat_prefix": "limit",
                    "max_connections": 1,
                },
            }),
        ),
    ]
}

#[tokio::test]
async fn over_a_rate_or_connection_limit_a_plaintext_caller_is_counted_and_a_mutual_tls_peer_is_not()
 {
    for (name, limit) in limits() {
        let app = App::start().await.unwrap();
        let mut limited = Port::declared(Protocol::Tcp, app.address()).unwrap();
        limited.network_filters_last = vec![limit];
        let scene = {
            let limited = limited.clone();
            Scene::with(|sidecar| {
                sidecar.ports.push(limited);
                *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
            })
            .await
        };
        // One connection of each filter chain is admitted and stays open, which exhausts either limit.
        let mut open = Vec::new();
        let plain = Caller::bytes("127.0.0.2");
        for caller in [plain.clone(), plain.over_mesh(scene.client())] {
            let mut connection = caller.connect(limited.address()).await.unwrap();
            connection.exchange("/").await.unwrap();
            open.push(connection);
        }
        for _ in 0..10 {
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                slow_mutual_tls(&scene, "127.0.0.3", &limited, version).await;
            }
        }
        send_and_wait_for_close(&Caller::bytes("127.0.0.4"), &limited, b"ping\n").await;
        drop(open);
        let scrape = scene.settled().await;
        let label = limited.label();
        let plaintext = [
            ("source_ip", "127.0.0.4"),
            ("destination_port", label.as_str()),
        ];
        let reported: Vec<_> = on(&scrape, &label)
            .into_iter()
            .filter(|line| line.contains("127.0.0.3"))
            .collect();
        let counted = scrape.sum(CONNECTIONS, &plaintext);
        assert_eq!((reported, counted), (Vec::new(), 1.0), "{name}");
    }
}
