//! Tests the harness itself: without plugins, callers of every protocol are served through a real Envoy.

use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_is_served_under_permissive() {
    let app = App::start().await.unwrap();
    let ports: Vec<_> = [Protocol::Http, Protocol::Tcp, Protocol::Auto]
        .into_iter()
        .map(|protocol| Port::declared(protocol, app.address()).unwrap())
        .collect();
    let sidecar = Sidecar::new(Mode::Permissive, ports.clone()).unwrap();
    let mut envoy = Envoy::start(&sidecar).await.unwrap();
    let client = &sidecar.mesh.client;
    let http = [
        Caller::http1("127.0.0.2"),
        Caller::http2("127.0.0.2"),
        Caller::grpc("127.0.0.2"),
        Caller::web_socket("127.0.0.2"),
    ];
    for port in &ports {
        for caller in &http {
            caller
                .call(port.address())
                .await
                .unwrap_or_else(|error| panic!("{:?} {caller:?}: {error:#}", port.protocol));
            caller
                .clone()
                .over_mesh(client)
                .call(port.address())
                .await
                .unwrap_or_else(|error| panic!("mTLS {:?} {caller:?}: {error:#}", port.protocol));
        }
        if port.protocol != Protocol::Http {
            Caller::bytes("127.0.0.2")
                .call(port.address())
                .await
                .unwrap();
            Caller::bytes("127.0.0.2")
                .over_mesh(client)
                .call(port.address())
                .await
                .unwrap();
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                Caller::http1("127.0.0.2")
                    .over(Tls::own(version))
                    .call(port.address())
                    .await
                    .unwrap();
                Caller::http1("127.0.0.2")
                    .over(Tls::own(version).without_sni())
                    .call(port.address())
                    .await
                    .unwrap();
            }
        }
    }
    Caller::http1("::1")
        .call(ports[0].address_for("::1".parse().unwrap()))
        .await
        .unwrap();

    envoy.apply(&sidecar.in_mode(Mode::Strict)).await.unwrap();
    for port in &ports {
        for caller in &http {
            caller
                .call(port.address())
                .await
                .expect_err("plaintext under STRICT");
            caller
                .clone()
                .over_mesh(client)
                .call(port.address())
                .await
                .unwrap_or_else(|error| panic!("mTLS {:?} {caller:?}: {error:#}", port.protocol));
        }
    }
}
