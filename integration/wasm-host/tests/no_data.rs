//! Connections that end before any byte reaches the filter, and their counts.

use plainsight_wasm_host::{ClosedBy, Connection, Facts, Scrape, Sidecar};

const HERE: &str = "10.1.0.1:8080";
const CONNECTIONS: &str = "plainsight_connections_total";
const HANDSHAKE_FAILURES: &str = "plainsight_handshake_failures_total";

const NO_CERTIFICATE: &str = "TLS_error:|268435655:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:TLS_error_end";
const RESET: &str = "Connection reset by peer";

fn plaintext() -> Connection {
    Connection::plaintext("10.0.0.7:40000", HERE)
}

/// TLS terminated at the sidecar, with Envoy's failure reason at the close.
fn tls(reason: Option<&str>) -> Connection {
    let connection = plaintext().with(&["connection", "tls_version"], "TLSv1.3");
    match reason {
        Some(reason) => connection.with(&["connection", "transport_failure_reason"], reason),
        None => connection,
    }
}

/// The metrics after the connection opened and closed without data.
fn closed(connection: &Connection, by: ClosedBy) -> Scrape {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let accepted = sidecar.vm.open(sidecar.network, connection).unwrap();
    sidecar.vm.close_by(by, accepted).unwrap();
    sidecar.vm.tick().unwrap();
    sidecar.scrape().unwrap()
}

#[test]
fn a_certificate_problem_is_a_failed_handshake_whichever_side_closes() {
    for by in [ClosedBy::Envoy, ClosedBy::Client] {
        let scrape = closed(&tls(Some(NO_CERTIFICATE)), by);
        let labels = [
            ("source_ip", "10.0.0.7"),
            ("destination_workload", "web"),
            ("destination_workload_namespace", "shop"),
            ("destination_port", "8080"),
        ];
        assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &labels), 1, "{by:?}");
        assert!(scrape.matching(CONNECTIONS, &[]).is_empty(), "{by:?}");
    }
}

#[test]
fn a_tls_connection_that_ends_for_another_reason_counts_nothing() {
    for reason in [Some(RESET), Some(""), None] {
        for by in [ClosedBy::Envoy, ClosedBy::Client] {
            let scrape = closed(&tls(reason), by);
            assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &[]), 0, "{reason:?} {by:?}");
            assert_eq!(scrape.sum(CONNECTIONS, &[]), 0, "{reason:?} {by:?}");
        }
    }
}

#[test]
fn a_plaintext_connection_counts_when_envoy_closes_it_and_not_when_the_client_does() {
    let scrape = closed(&plaintext(), ClosedBy::Envoy);
    let labels = [("peer", "plaintext"), ("source_ip", "10.0.0.7")];
    assert_eq!(scrape.sum(CONNECTIONS, &labels), 1);
    let named = plaintext().with(&["connection", "requested_server_name"], "orders.shop");
    let scrape = closed(&named, ClosedBy::Envoy);
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "tls_passthrough")]), 1);
    for connection in [plaintext(), named] {
        let scrape = closed(&connection, ClosedBy::Client);
        assert_eq!(scrape.sum(CONNECTIONS, &[]), 0);
        assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &[]), 0);
    }
}

#[test]
fn an_outbound_connection_counts_nothing() {
    let proxy = plainsight_wasm_host::real_module().unwrap();
    proxy.set_listener(Facts::listener(2));
    let mut sidecar = Sidecar::on(proxy, "{}").unwrap();
    for connection in [plaintext(), tls(Some(NO_CERTIFICATE))] {
        let accepted = sidecar.vm.open(sidecar.network, &connection).unwrap();
        sidecar.vm.close_by(ClosedBy::Envoy, accepted).unwrap();
    }
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 0);
    assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &[]), 0);
}
