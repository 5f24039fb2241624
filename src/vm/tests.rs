//! The filter driven through a scripted host: one behaviour per test.

mod plugins;
mod requests;

use super::*;
use crate::attribute::Attribute;
use crate::fake_host::{FakeHost, capture_log, logged};
use crate::host::Status;

const PLUGIN: u32 = 1;
const CLIENT_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1];
const HTTP: &[u8] = b"GET / HTTP/1.1\r\n";
const CONNECTIONS: &str = "plainsight_connections_total";
const REQUESTS: &str = "plainsight_requests_total";
const FAILURES: &str = "plainsight_handshake_failures_total";
const CONFIG_ERRORS: &str = "plainsight_config_errors";

impl Vm<FakeHost> {
    /// A worker of shop/web with one plugin.
    fn configured(json: &str) -> Vm<FakeHost> {
        capture_log();
        let mut vm = Vm::new(FakeHost::default());
        vm.host().seconds = 1_000;
        vm.host().set(Attribute::WORKLOAD_NAME, b"web");
        vm.host().set(Attribute::NAMESPACE, b"shop");
        vm.set_integer(Attribute::LISTENER_DIRECTION, 1);
        vm.set_integer(Attribute::DESTINATION_PORT, 8080);
        vm.configure(PLUGIN, json);
        vm
    }

    fn host(&mut self) -> &mut FakeHost {
        &mut self.worker.access.host
    }

    fn set_integer(&mut self, attribute: Attribute, value: u64) {
        self.host().set(attribute, &value.to_le_bytes());
    }

    fn configure(&mut self, plugin: u32, json: &str) {
        self.on_context_create(plugin, 0);
        self.host().configuration = json.into();
        self.on_configure(plugin, json.len());
    }

    /// Accepts a connection.
    fn accept(&mut self, context: u32, source: &str) {
        self.host()
            .set(Attribute::SOURCE_ADDRESS, source.as_bytes());
        self.on_context_create(context, PLUGIN);
        self.on_new_connection(context);
    }

    fn send(&mut self, context: u32, data: &[u8]) {
        self.host().connection = context;
        self.host().data = data.into();
        self.on_downstream_data(context, data.len());
    }

    fn connect(&mut self, context: u32, source: &str, data: &[u8]) {
        self.accept(context, source);
        self.send(context, data);
    }

    fn close(&mut self, context: u32, by: ClosedBy) {
        self.host().connection = context;
        self.on_downstream_connection_close(context, by);
    }

    /// A request with the client's forged header.
    fn request(&mut self, stream: u32, connection: u32, user_agent: &str) {
        let host = self.host();
        host.connection = connection;
        host.request_headers.clear();
        host.response_headers.clear();
        let headers = &mut host.request_headers;
        headers.insert("user-agent".into(), user_agent.into());
        headers.insert("x-plainsight-peer".into(), "forged".into());
        self.on_context_create(stream, PLUGIN);
        self.on_request_headers(stream);
    }

    fn peer_header(&mut self) -> String {
        let value = self.host().request_headers["x-plainsight-peer"].clone();
        String::from_utf8(value).unwrap()
    }

    fn mutual_tls(&mut self, san: &str) {
        self.host().set(Attribute::TLS_VERSION, b"TLSv1.3");
        self.host().set(Attribute::MTLS, &[1]);
        self.host().set(Attribute::URI_SAN, san.as_bytes());
    }

    fn sum(&mut self, metric: &str) -> i64 {
        self.host().sum(metric)
    }

    /// Whether exactly one series of the metric is above 0, and it has this label.
    fn only(&mut self, metric: &str, label: &str) -> bool {
        let series = self.host().series(metric);
        let mut counted = series.iter().filter(|(_, value)| *value > 0);
        matches!((counted.next(), counted.next()), (Some((labels, _)), None)
            if labels.split(',').any(|other| other == label))
    }
}

#[test]
fn a_connection_is_classified_once_on_its_first_data() {
    let mut vm = Vm::configured("{}");
    vm.accept(2, "10.0.0.7:1");
    assert_eq!(vm.sum(CONNECTIONS), 0, "before the handshake");
    vm.send(2, HTTP);
    vm.host().calls.clear();
    vm.send(2, HTTP);
    assert_eq!(vm.host().calls, [""; 0], "no mark without a request");
    assert_eq!(vm.sum(CONNECTIONS), 1);
    let series = vm.host().series(CONNECTIONS);
    assert_eq!(
        series[0].0,
        "peer=plaintext,strict=reject,source_ip=10.0.0.7,destination_workload=web,destination_workload_namespace=shop,destination_port=8080"
    );
}

#[test]
fn a_mutual_tls_peer_is_counted_without_its_address_and_never_logged() {
    let mut vm = Vm::configured(r#"{"principals":true}"#);
    vm.mutual_tls("spiffe://td/ns/a/sa/b");
    vm.connect(2, "10.0.0.7:1", HTTP);
    assert!(vm.only(CONNECTIONS, "source_principal=spiffe://td/ns/a/sa/b"));
    assert!(vm.only(CONNECTIONS, "strict=allow"));
    assert_eq!(vm.sum("plainsight_last_seen_timestamp_seconds"), 0);
    assert_eq!(logged(), Vec::<String>::new());
}

#[test]
fn a_mutual_tls_peer_is_named_only_with_principals_and_if_it_has_one() {
    for (configuration, san) in [("{}", "spiffe://td"), (r#"{"principals":true}"#, "")] {
        let mut vm = Vm::configured(configuration);
        vm.mutual_tls(san);
        vm.connect(2, "10.0.0.7:1", HTTP);
        assert!(vm.only(CONNECTIONS, "peer=mutual_tls"));
        assert!(!vm.host().series(CONNECTIONS)[0].0.contains("principal"));
    }
}

#[test]
fn a_caller_is_not_logged_with_log_callers_off() {
    let mut vm = Vm::configured(r#"{"logCallers":false}"#);
    vm.connect(2, "10.0.0.7:1", HTTP);
    assert!(vm.only(CONNECTIONS, "peer=plaintext"));
    assert_eq!(logged(), [""; 0]);
}

#[test]
fn a_client_hello_may_come_in_pieces() {
    let mut vm = Vm::configured("{}");
    vm.accept(2, "10.0.0.7:1");
    for byte in CLIENT_HELLO {
        assert_eq!(vm.sum(CONNECTIONS), 0);
        vm.send(2, &[*byte]);
    }
    assert!(vm.only(CONNECTIONS, "peer=tls_passthrough"));
}

#[test]
fn a_truncated_client_hello_is_counted_at_close() {
    let mut vm = Vm::configured("{}");
    vm.connect(2, "10.0.0.7:1", &CLIENT_HELLO[..3]);
    vm.close(2, ClosedBy::Remote);
    assert!(vm.only(CONNECTIONS, "peer=plaintext"));
}

#[test]
fn only_a_certificate_error_is_a_failed_handshake() {
    let certificate =
        "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED";
    let reset = "TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer";
    for (reason, failures) in [(certificate, 1), (reset, 0), ("", 0)] {
        for by in [ClosedBy::Local, ClosedBy::Remote] {
            let mut vm = Vm::configured("{}");
            vm.host().set(Attribute::TLS_VERSION, b"TLSv1.3");
            vm.host().set(Attribute::MTLS, &[1]);
            vm.host().set(Attribute::FAILURE_REASON, reason.as_bytes());
            // The end of the stream comes as data without bytes.
            vm.connect(2, "10.0.0.7:1", b"");
            vm.close(2, by);
            assert_eq!(vm.sum(FAILURES), failures, "{reason}");
            assert_eq!(vm.sum(CONNECTIONS), 0, "{reason}");
        }
    }
}

#[test]
fn a_connection_that_envoy_closes_without_data_is_a_caller_unless_it_is_mutual_tls() {
    let closed = |by, attribute: Attribute, value: &[u8]| {
        let mut vm = Vm::configured("{}");
        vm.host().set(attribute, value);
        vm.accept(2, "10.0.0.7:1");
        vm.close(2, by);
        vm
    };
    let nothing = Attribute::CONNECTION_LINK;
    let mut vm = closed(ClosedBy::Local, nothing, b"");
    assert!(vm.only(CONNECTIONS, "peer=plaintext"));
    // An empty value is an absent one.
    for absent in [Attribute::SERVER_NAME, Attribute::TLS_VERSION] {
        let mut vm = closed(ClosedBy::Local, absent, b"");
        assert!(vm.only(CONNECTIONS, "peer=plaintext"));
    }
    let mut vm = closed(ClosedBy::Local, Attribute::SERVER_NAME, b"web.shop");
    assert!(vm.only(CONNECTIONS, "peer=tls_passthrough"));
    let tunnel = Attribute::HBONE_PRINCIPAL;
    assert_eq!(
        closed(ClosedBy::Local, tunnel, b"spiffe://td").sum(CONNECTIONS),
        0
    );
    assert_eq!(closed(ClosedBy::Remote, nothing, b"").sum(CONNECTIONS), 0);
}

#[test]
fn an_unreadable_tls_status_is_an_error_and_never_plaintext() {
    let mut vm = Vm::configured("{}");
    vm.host().fail(Attribute::TLS_VERSION.name, Status(2));
    vm.connect(2, "10.0.0.7:1", HTTP);
    vm.request(3, 2, "");
    assert_eq!(vm.sum(CONNECTIONS), 0);
    assert_eq!(vm.sum(REQUESTS), 0);
    assert_eq!(vm.peer_header(), "unknown");
    assert_eq!(vm.host().attribute_errors(Attribute::TLS_VERSION), 1);
}

#[test]
fn outbound_listeners_are_ignored() {
    let mut vm = Vm::configured("{}");
    vm.set_integer(Attribute::LISTENER_DIRECTION, 2);
    vm.connect(2, "10.0.0.7:1", HTTP);
    vm.request(3, 2, "");
    vm.close(2, ClosedBy::Local);
    assert_eq!(vm.sum(CONNECTIONS) + vm.sum(REQUESTS), 0);
    assert_eq!(vm.peer_header(), "forged");
    vm.set_integer(Attribute::LISTENER_DIRECTION, 1);
    vm.connect(4, "10.0.0.7:1", HTTP);
    assert_eq!(
        vm.sum(CONNECTIONS),
        1,
        "an inbound listener of the same plugin"
    );
}

#[test]
fn a_new_connection_with_a_request_takes_at_most_12_host_calls_and_8_with_mutual_tls() {
    for (mutual_tls, max) in [(false, 12), (true, 8)] {
        let mut vm = Vm::configured("{}");
        if mutual_tls {
            vm.mutual_tls("spiffe://td/ns/a/sa/b");
        }
        vm.connect(2, "10.0.0.2:1", HTTP);
        vm.request(3, 2, "");
        vm.host().calls.clear();
        vm.connect(4, "10.0.0.2:2", HTTP);
        vm.request(5, 4, "");
        vm.close(4, ClosedBy::Remote);
        let calls = &vm.host().calls;
        assert_eq!(calls.len(), max, "{calls:?}");
    }
}

#[test]
fn callers_beyond_the_limit_are_overflow_and_failed_handshakes_do_not_use_it_up() {
    let mut vm = Vm::configured(r#"{"maxCallers":1}"#);
    vm.host().set(Attribute::TLS_VERSION, b"TLSv1.3");
    vm.host().set(Attribute::FAILURE_REASON, b"CERTIFICATE");
    // A known caller stays itself, however often it fails.
    for (source, times, overflow) in [("10.0.0.2:1", 9, 0), ("10.0.0.3:1", 1, 1)] {
        for _ in 0..times {
            vm.accept(2, source);
            vm.close(2, ClosedBy::Remote);
        }
        assert_eq!(vm.sum("plainsight_overflow_total"), overflow);
    }
    vm.host().unset(Attribute::TLS_VERSION);
    vm.connect(4, "10.0.0.4:1", HTTP);
    assert!(vm.only(CONNECTIONS, "source_ip=10.0.0.4"));
    vm.connect(5, "10.0.0.5:1", HTTP);
    vm.request(6, 5, "");
    assert_eq!(vm.sum("plainsight_overflow_total"), 3);
    assert_eq!(
        vm.peer_header(),
        "plaintext;strict=reject;source_ip=\"10.0.0.5\""
    );
    assert_eq!(
        logged().len(),
        1,
        "one line per named caller: {:?}",
        logged()
    );
}

#[test]
fn ports_beyond_64_are_overflow() {
    let mut vm = Vm::configured("{}");
    for port in 1..=65_u32 {
        vm.set_integer(Attribute::DESTINATION_PORT, port.into());
        vm.connect(port + 1, "10.0.0.7:1", HTTP);
    }
    assert_eq!(vm.sum("plainsight_overflow_total"), 1);
}

#[test]
fn an_exempt_port_is_exempt_in_metrics_and_header() {
    let mut vm =
        Vm::configured(r#"{"exempt":[{"port":8080,"namespace":"shop"}],"responseHeader":"x-you"}"#);
    vm.connect(2, "10.0.0.7:1", HTTP);
    vm.request(3, 2, "");
    assert!(vm.only(CONNECTIONS, "strict=exempt"));
    vm.on_response_headers(3);
    assert!(vm.host().response_headers.is_empty());
}

#[test]
fn a_killed_or_foreign_context_is_ignored() {
    let mut vm = Vm::configured("{}");
    vm.on_downstream_data(99, 5);
    vm.on_downstream_connection_close(99, ClosedBy::Local);
    vm.on_response_headers(99);
    vm.on_tick(99);
    assert_eq!(vm.sum("plainsight_attribute_errors_total"), 0);
}
