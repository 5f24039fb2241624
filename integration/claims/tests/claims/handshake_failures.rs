//! Handshakes that failed because of the client's certificate: none sent, or one of a foreign authority. Envoy 1.36 no
//! longer has the failure reason when the connection closes, so the metric stays 0 there.

use plainsight_harness::callers::{Caller, CallerProtocol, Tls, TlsVersion};
use plainsight_harness::pki::{Authority, Mesh};
use serde_json::json;

use crate::scene::{CONNECTIONS, HANDSHAKE_FAILURES, LAST_SEEN, OVERFLOW, REQUESTS, Scene};

/// A handshake that the sidecar rejects.
async fn rejected(scene: &Scene, source: &str, tls: Tls) {
    let caller = Caller::bytes(source).over(tls);
    caller.call(scene.tcp.address()).await.unwrap_err();
}

fn without_certificate(version: TlsVersion) -> Tls {
    Tls::mesh(None, CallerProtocol::Bytes).in_version(version)
}

#[tokio::test]
async fn a_missing_and_a_foreign_certificate_count_as_handshake_failures_and_nothing_else() {
    let scene = Scene::start(json!({})).await;
    let foreign = Authority::new("foreign").unwrap();
    let foreign = foreign.spiffe(Mesh::CLIENT).unwrap();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        rejected(&scene, "127.0.0.2", without_certificate(version)).await;
        let tls = Tls::mesh(Some(&foreign), CallerProtocol::Bytes).in_version(version);
        rejected(&scene, "127.0.0.3", tls).await;
    }
    let scrape = scene.settled().await;
    let each = if scene.has_failure_reasons().await {
        2.0
    } else {
        0.0
    };
    let port = scene.tcp.label();
    for source in ["127.0.0.2", "127.0.0.3"] {
        let labels = [
            ("source_ip", source),
            ("destination_workload", "orders"),
            ("destination_workload_namespace", "legacy"),
            ("destination_port", port.as_str()),
        ];
        assert_eq!(
            scrape.sum(HANDSHAKE_FAILURES, &labels),
            each,
            "{source}: {:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &[]), 2.0 * each);
    for metric in [CONNECTIONS, REQUESTS, LAST_SEEN] {
        let labels = [("source_ip", "127.0.0.2")];
        assert_eq!(
            scrape.count(metric, &labels),
            0,
            "{:#?}",
            scrape.plainsight()
        );
    }
}

#[tokio::test]
async fn failed_handshakes_and_plaintext_callers_have_separate_caps() {
    let scene = Scene::start(json!({"maxCallers": 5})).await;
    for peer in 1..=8 {
        let source = format!("127.0.3.{peer}");
        rejected(&scene, &source, without_certificate(TlsVersion::V1_3)).await;
    }
    let callers: Vec<_> = (1..=5).map(|caller| format!("127.0.4.{caller}")).collect();
    for source in &callers {
        Caller::bytes(source)
            .call(scene.tcp.address())
            .await
            .unwrap();
    }
    let scrape = scene.settled().await;
    for source in &callers {
        let named = scrape.sum(CONNECTIONS, &[("source_ip", source)]);
        assert_eq!(named, 1.0, "{source}: {:#?}", scrape.plainsight());
    }
    let overflow = if scene.has_failure_reasons().await {
        3.0
    } else {
        0.0
    };
    let labels = [("source_ip", "overflow")];
    assert_eq!(
        (
            scrape.sum(HANDSHAKE_FAILURES, &labels),
            scrape.sum(OVERFLOW, &[]),
        ),
        (overflow, overflow),
        "{:#?}",
        scrape.plainsight()
    );
}
