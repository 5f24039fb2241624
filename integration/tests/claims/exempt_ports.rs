//! Ports in `exemptPorts` stay plaintext under STRICT, so their callers do not break.

use plainsight_integration::app::App;
use plainsight_integration::callers::{Caller, Tls, TlsVersion};
use plainsight_integration::envoy::Envoy;
use plainsight_integration::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, Scene, mesh_client};

#[tokio::test]
async fn callers_of_an_exempt_port_are_exempt_and_mutual_tls_stays_allowed() {
    let app = App::start().await.unwrap();
    let exempt = Port::declared(Protocol::Auto, app.address()).unwrap();
    let other = Port::declared(Protocol::Auto, app.address()).unwrap();
    let sidecar = Sidecar::new(Mode::Permissive, vec![exempt.clone(), other.clone()]).unwrap();
    let sidecar = sidecar
        .with_plainsight(json!({"exemptPorts": [exempt.number()], "responseHeader": "x-verdict"}))
        .unwrap();
    let envoy = Envoy::start(&sidecar).await.unwrap();

    let reply = Caller::http1("127.0.0.2")
        .call(exempt.address())
        .await
        .unwrap();
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        ["plaintext;strict=exempt;source_ip=\"127.0.0.2\""]
    );
    assert!(
        reply.headers.get("x-verdict").is_none(),
        "STRICT would not turn this caller away"
    );
    Caller::http1("127.0.0.2")
        .over(Tls::own(TlsVersion::V1_3))
        .call(exempt.address())
        .await
        .unwrap();
    let reply = Caller::http1("127.0.0.2")
        .call(other.address())
        .await
        .unwrap();
    assert_eq!(
        reply.headers["x-verdict"],
        "plaintext;strict=reject;source_ip=\"127.0.0.2\""
    );
    let reply = Caller::http1("127.0.0.2")
        .over_mesh(&sidecar.mesh.client)
        .call(exempt.address())
        .await
        .unwrap();
    assert_eq!(reply.header_seen_by_app(HEADER), [mesh_client()]);

    let scrape = envoy
        .scrape_until("four connections", |scrape| {
            anyhow::ensure!(scrape.sum(CONNECTIONS, &[]) == 4.0);
            Ok(())
        })
        .await
        .unwrap();
    let (exempt, other) = (exempt.label(), other.label());
    for (peer, strict, port) in [
        ("plaintext", "exempt", &exempt),
        ("tls_passthrough", "exempt", &exempt),
        ("plaintext", "reject", &other),
        ("mutual_tls", "allow", &exempt),
    ] {
        let labels = [
            ("peer", peer),
            ("strict", strict),
            ("destination_port", port.as_str()),
        ];
        assert_eq!(
            scrape.sum(CONNECTIONS, &labels),
            1.0,
            "{labels:?}: {:#?}",
            scrape.plainsight()
        );
    }
}

#[tokio::test]
async fn without_the_key_no_port_is_exempt() {
    let scene = Scene::start(json!({})).await;
    Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    let scrape = scene
        .counted(CONNECTIONS, &[("strict", "reject")], 1.0)
        .await;
    assert_eq!(scrape.count(CONNECTIONS, &[("strict", "exempt")]), 0);
}
