//! `exempt`: ports that stay plaintext under STRICT (`portLevelMtls`), so their callers do not break.

use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::{
    app::App,
    shapes::{Mode, Port, Protocol, Sidecar},
};
use serde_json::{Value, json};

use crate::scene::{CONFIG_ERRORS, CONNECTIONS, HEADER, Scene, mesh_client, plaintext_from};

/// A sidecar of the workload `orders` in the namespace `legacy` with two automatic ports. `configuration` gets the number
/// of the first.
async fn two_ports(configuration: impl FnOnce(u16) -> Value) -> (Envoy, Sidecar, App, [Port; 2]) {
    let app = App::start().await.unwrap();
    let ports = [(); 2].map(|()| Port::declared(Protocol::Auto, app.address()).unwrap());
    let sidecar = Sidecar::new(Mode::Permissive, ports.to_vec())
        .unwrap()
        .with_plainsight(configuration(ports[0].number()))
        .unwrap();
    let envoy = Envoy::start(&sidecar).await.unwrap();
    (envoy, sidecar, app, ports)
}

#[tokio::test]
async fn callers_of_an_exempt_port_are_exempt_and_mutual_tls_stays_allowed() {
    let (envoy, sidecar, _app, [exempt, other]) = two_ports(|port| {
        json!({
            "exempt": [{"port": port}],
            "responseHeader": "x-verdict",
            "responseHeaders": {"x-move": "to the mesh"},
        })
    })
    .await;
    let plain = Caller::http1("127.0.0.2");
    let reply = plain.call(exempt.address()).await.unwrap();
    assert_eq!(
        reply.header_seen_by_app(HEADER),
        ["plaintext;strict=exempt;source_ip=\"127.0.0.2\""]
    );
    for name in ["x-verdict", "x-move"] {
        assert!(
            reply.headers.get(name).is_none(),
            "STRICT would serve this caller: {name}"
        );
    }
    let passthrough = Caller::http1("127.0.0.2").over(Tls::own(TlsVersion::V1_3));
    passthrough.call(exempt.address()).await.unwrap();
    let reply = plain.call(other.address()).await.unwrap();
    assert_eq!(reply.headers["x-verdict"], plaintext_from("127.0.0.2"));
    assert_eq!(reply.headers["x-move"], "to the mesh");
    let mesh = Caller::http1("127.0.0.2").over_mesh(&sidecar.mesh.client);
    let reply = mesh.call(exempt.address()).await.unwrap();
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
async fn an_exemption_can_be_limited_to_a_namespace_and_a_workload() {
    let scopes = [
        (json!({}), "exempt"),
        (json!({"namespace": "legacy"}), "exempt"),
        (json!({"workload": "orders"}), "exempt"),
        (
            json!({"namespace": "legacy", "workload": "orders"}),
            "exempt",
        ),
        (json!({"namespace": "shop"}), "reject"),
        (json!({"workload": "checkout"}), "reject"),
        (
            json!({"namespace": "legacy", "workload": "checkout"}),
            "reject",
        ),
        (json!({"namespace": "shop", "workload": "orders"}), "reject"),
    ];
    for (mut scope, strict) in scopes {
        let (envoy, _, _app, [exempt, other]) = two_ports(|port| {
            scope["port"] = json!(port);
            json!({"exempt": [{"port": 1}, scope]})
        })
        .await;
        for port in [&exempt, &other] {
            Caller::http1("127.0.0.2")
                .call(port.address())
                .await
                .unwrap();
        }
        let scrape = envoy.scrape().await.unwrap();
        for (port, strict) in [(exempt.label(), strict), (other.label(), "reject")] {
            let labels = [("destination_port", port.as_str()), ("strict", strict)];
            assert_eq!(
                scrape.sum(CONNECTIONS, &labels),
                1.0,
                "{scope}: {:#?}",
                scrape.plainsight()
            );
        }
        assert_eq!(scrape.sum(CONFIG_ERRORS, &[]), 0.0, "{}", envoy.log_tail());
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
