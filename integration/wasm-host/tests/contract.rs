//! Behaviour of one connection and one worker that is hard to provoke in a real Envoy.

use plainsight_wasm_host::{
    Answer, Connection, Facts, Proxy, Request, Sidecar, Status, header_values, real_module,
};

const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const HERE: &str = "10.1.0.1:8080";
const CONNECTIONS: &str = "plainsight_connections_total";
const REQUESTS: &str = "plainsight_requests_total";
const LAST_SEEN: &str = "plainsight_last_seen_timestamp_seconds";
const ERRORS: &str = "plainsight_attribute_errors_total";
const HEADER: &str = "x-plainsight-peer";

fn plaintext(source: &str) -> Connection {
    Connection::plaintext(source, HERE)
}

fn mutual_tls(source: &str) -> Connection {
    Connection::mutual_tls(source, HERE, SAN)
}

#[test]
fn a_plaintext_caller_is_counted_with_every_label_and_named_in_the_header() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let accepted = sidecar.connect(&plaintext("10.0.0.7:40000")).unwrap();
    let answered = sidecar
        .ask(accepted, &Request::get("kube-probe/1.30"))
        .unwrap();
    let scrape = sidecar.scrape().unwrap();
    let labels = [
        ("peer", "plaintext"),
        ("strict", "reject"),
        ("source_ip", "10.0.0.7"),
        ("destination_workload", "web"),
        ("destination_workload_namespace", "shop"),
        ("destination_port", "8080"),
    ];
    assert_eq!(scrape.sum(CONNECTIONS, &labels), 1);
    let now = sidecar.proxy.seconds().cast_signed();
    assert_eq!(scrape.sum(LAST_SEEN, &labels), now);
    let request = [&labels[..], &[("traffic", "probe")]].concat();
    assert_eq!(scrape.sum(REQUESTS, &request), 1);
    let value = "plaintext;strict=reject;source_ip=\"10.0.0.7\"";
    assert_eq!(answered.exchange.values(HEADER), [value]);
}

#[test]
fn mutual_tls_peers_share_one_series_without_a_last_seen_time() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    for port in 40_000..40_010 {
        let connection = mutual_tls(&format!("10.0.0.8:{port}"));
        let accepted = sidecar.connect(&connection).unwrap();
        let answered = sidecar.ask(accepted, &Request::get("curl")).unwrap();
        let value = format!("mutual_tls;strict=allow;principal=\"{SAN}\"");
        assert_eq!(answered.exchange.values(HEADER), [value]);
    }
    sidecar.tick_after(5).unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.matching(CONNECTIONS, &[]).len(), 1);
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 10);
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "mutual_tls")]), 10);
    assert!(scrape.matching(LAST_SEEN, &[]).is_empty());
}

#[test]
fn a_forged_header_never_reaches_the_application() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    for connection in [plaintext("10.0.0.7:1"), mutual_tls("10.0.0.8:1")] {
        let accepted = sidecar.connect(&connection).unwrap();
        let forged = Request::get("curl")
            .header(
                HEADER,
                "mutual_tls;strict=allow;principal=\"spiffe://forged\"",
            )
            .header("X-Plainsight-Peer", "mutual_tls");
        let answered = sidecar.ask(accepted, &forged).unwrap();
        let values = answered.exchange.values(HEADER);
        assert_eq!(values.len(), 1, "{values:?}");
        assert!(!values[0].contains("forged"), "{values:?}");
    }
}

#[test]
fn a_request_belongs_to_its_own_connection_regardless_of_the_last_read() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let plain = sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    let mutual = sidecar.connect(&mutual_tls("10.0.0.8:1")).unwrap();
    let other = sidecar.connect(&plaintext("10.0.0.9:1")).unwrap();
    // A read on one connection, then a request on another: caused by HTTP/1 pipelining and asynchronous filters.
    for (read, asks, source) in [
        (mutual, plain, "source_ip=\"10.0.0.7\""),
        (plain, mutual, "mutual_tls;strict=allow"),
        (other, plain, "source_ip=\"10.0.0.7\""),
        (plain, other, "source_ip=\"10.0.0.9\""),
    ] {
        sidecar.vm.data(read, b"GET / HTTP/1.1\r\n").unwrap();
        let request = Request::get("curl");
        let exchange = sidecar.vm.request(sidecar.http, asks, &request).unwrap();
        let value = exchange.values(HEADER).concat();
        assert!(value.contains(source), "{value}");
    }
    // Two concurrent requests end in reverse order.
    let request = Request::get("curl");
    let first = sidecar.vm.request(sidecar.http, plain, &request).unwrap();
    let second = sidecar.vm.request(sidecar.http, mutual, &request).unwrap();
    sidecar.vm.finish(&first).unwrap();
    sidecar.vm.finish(&second).unwrap();
    sidecar.tick_after(5).unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.0.0.7")]), 3);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.0.0.9")]), 1);
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "mutual_tls")]), 2);
}

#[test]
fn an_undecodable_property_is_an_error_and_never_plaintext() {
    let wide = Answer::Bytes(vec![0; 3]);
    let broken = Answer::Refused(Status::INTERNAL_FAILURE);
    let not_text = Answer::Bytes(vec![0xff, 0xfe]);
    for (path, answer) in [
        (&["connection", "mtls"][..], wide),
        (&["connection", "mtls"], broken.clone()),
        (&["connection", "uri_san_peer_certificate"], broken.clone()),
        (&["connection", "uri_san_peer_certificate"], not_text),
        (&["connection", "tls_version"], broken),
    ] {
        let mut sidecar = Sidecar::start("{}").unwrap();
        let tls = Connection::tls_without_certificate("10.0.0.7:1", HERE);
        let connection = tls.answering(path, answer.clone());
        let accepted = sidecar.connect(&connection).unwrap();
        let answered = sidecar.ask(accepted, &Request::get("curl")).unwrap();
        let scrape = sidecar.scrape().unwrap();
        assert!(scrape.sum(ERRORS, &[]) >= 1, "{path:?}: {answer:?}");
        let plaintext = [("peer", "plaintext")];
        assert!(
            scrape.matching(CONNECTIONS, &plaintext).is_empty(),
            "{path:?}"
        );
        assert!(scrape.matching(REQUESTS, &plaintext).is_empty(), "{path:?}");
        // A SAN that is not text is still a SAN: mutual TLS, without a name.
        let value = answered.exchange.values(HEADER).concat();
        let expected = ["unknown", "mutual_tls;strict=allow"];
        assert!(expected.contains(&value.as_str()), "{path:?}: {value}");
    }
}

#[test]
fn connection_id_zero_is_a_connection_like_any_other() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    // Envoy and this host number connections from 0.
    let zero = sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    let other = sidecar.connect(&mutual_tls("10.0.0.8:1")).unwrap();
    sidecar.vm.data(other, b"GET").unwrap();
    sidecar.vm.take_asked();
    let request = Request::get("curl");
    let exchange = sidecar.vm.request(sidecar.http, zero, &request).unwrap();
    let value = "plaintext;strict=reject;source_ip=\"10.0.0.7\"";
    assert_eq!(exchange.values(HEADER), [value]);
    // Found by its id, so not classified again.
    let asked = sidecar.vm.take_asked();
    let again = ["connection.mtls", "connection.uri_san_peer_certificate"];
    assert!(
        !asked.iter().any(|path| again.contains(&path.as_str())),
        "{asked:?}"
    );
}

#[test]
fn a_forged_header_is_replaced_when_nothing_can_be_read() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let refused = Answer::Refused(Status::INTERNAL_FAILURE);
    let connection = ["id", "mtls", "uri_san_peer_certificate", "tls_version"]
        .iter()
        .fold(plaintext("10.0.0.7:1"), |connection, name| {
            connection.answering(&["connection", name], refused.clone())
        });
    let accepted = sidecar.connect(&connection).unwrap();
    let forged = Request::get("curl").header(HEADER, "mutual_tls;strict=allow");
    let answered = sidecar.ask(accepted, &forged).unwrap();
    assert_eq!(answered.exchange.values(HEADER), ["unknown"]);
}

#[test]
fn connections_of_more_than_64_live_plugins_are_counted() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let plugin = || sidecar.vm.plugin("{}").unwrap();
    let plugins: Vec<_> = std::iter::repeat_with(plugin).take(200).collect();
    for (number, pair) in plugins.chunks(2).enumerate() {
        (sidecar.network, sidecar.http) = (pair[0], pair[1]);
        let source = format!("10.0.1.{number}:40000");
        let accepted = sidecar.connect(&plaintext(&source)).unwrap();
        let forged = Request::get("curl").header(HEADER, "mutual_tls;strict=allow");
        let answered = sidecar.ask(accepted, &forged).unwrap();
        let value = format!("plaintext;strict=reject;source_ip=\"10.0.1.{number}\"");
        assert_eq!(answered.exchange.values(HEADER), [value]);
    }
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 100);
    assert_eq!(scrape.sum(REQUESTS, &[]), 100);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
}

#[test]
fn a_request_of_an_unclassified_connection_replaces_the_header_and_counts_one_error() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let refused = Answer::Refused(Status::INTERNAL_FAILURE);
    let mut unread = Connection::tls_without_certificate("10.0.0.7:1", HERE)
        .answering(&["connection", "uri_san_peer_certificate"], refused);
    unread.facts.extend(&unread.after_handshake);
    let unseen = sidecar.vm.accept(&unread);
    let forged = Request::get("curl").header(HEADER, "mutual_tls;strict=allow");
    let exchange = sidecar.vm.request(sidecar.http, unseen, &forged).unwrap();
    assert_eq!(exchange.values(HEADER), ["unknown"]);
    sidecar.vm.tick().unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(ERRORS, &[]), 1);
    assert!(
        scrape
            .matching(REQUESTS, &[("peer", "plaintext")])
            .is_empty()
    );
}

#[test]
fn an_outbound_listener_is_ignored() {
    let proxy = real_module().unwrap();
    proxy.set_listener(Facts::listener(2));
    let mut sidecar = Sidecar::on(proxy, "{}").unwrap();
    let accepted = sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    let answered = sidecar.ask(accepted, &Request::get("curl")).unwrap();
    sidecar.vm.close(accepted).unwrap();
    assert!(answered.exchange.values(HEADER).is_empty());
    let scrape = sidecar.scrape().unwrap();
    for metric in [CONNECTIONS, REQUESTS, LAST_SEEN] {
        assert!(scrape.matching(metric, &[]).is_empty(), "{metric}");
    }
}

// Measured on Envoy 1.40.0: an inbound and an outbound listener with the same plugins share the plugin contexts.
#[test]
fn the_direction_belongs_to_the_connection_and_not_to_the_plugin() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let direction = ["xds", "listener_direction"];
    for (number, direction_of) in [2_i64, 1, 2, 1].into_iter().enumerate() {
        let source = format!("10.0.0.{number}:1");
        let connection = plaintext(&source).with(&direction, direction_of.to_le_bytes());
        let accepted = sidecar.connect(&connection).unwrap();
        let answered = sidecar.ask(accepted, &Request::get("curl")).unwrap();
        let is_inbound = direction_of == 1;
        let headers = answered.exchange.values(HEADER).len();
        assert_eq!(headers, usize::from(is_inbound), "connection {number}");
        sidecar.vm.close(accepted).unwrap();
    }
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[]), 2);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
}

#[test]
fn a_forwarded_address_is_not_trusted() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let request = Request::get("curl").with(&["source", "address"], "9.9.9.9:0");
    let unseen = sidecar.vm.accept(&plaintext("10.0.0.7:1"));
    let exchange = sidecar.vm.request(sidecar.http, unseen, &request).unwrap();
    let value = "plaintext;strict=reject;source_ip=\"forwarded\"";
    assert_eq!(exchange.values(HEADER), [value]);
    let seen = sidecar.connect(&plaintext("10.0.0.8:1")).unwrap();
    let exchange = sidecar.vm.request(sidecar.http, seen, &request).unwrap();
    let value = "plaintext;strict=reject;source_ip=\"10.0.0.8\"";
    assert_eq!(exchange.values(HEADER), [value]);
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "forwarded")]), 1);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.0.0.8")]), 1);
    assert!(
        scrape
            .matching(REQUESTS, &[("source_ip", "9.9.9.9")])
            .is_empty()
    );
}

#[test]
fn last_seen_is_refreshed_while_a_connection_is_open() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    assert!(sidecar.vm.tick_period().is_some());
    let accepted = sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    for _ in 0..3 {
        sidecar.tick_after(3_600).unwrap();
        let now = sidecar.proxy.seconds().cast_signed();
        assert_eq!(sidecar.scrape().unwrap().sum(LAST_SEEN, &[]), now);
    }
    sidecar.vm.close(accepted).unwrap();
    sidecar.tick_after(5).unwrap();
    let last = sidecar.scrape().unwrap().sum(LAST_SEEN, &[]);
    sidecar.tick_after(3_600).unwrap();
    assert_eq!(sidecar.scrape().unwrap().sum(LAST_SEEN, &[]), last);
    assert!(last >= sidecar.proxy.seconds().cast_signed() - 3_605);
}

#[test]
fn no_tls_property_is_read_before_the_handshake_is_complete() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    sidecar.vm.take_asked();
    let connection = mutual_tls("10.0.0.8:1");
    let accepted = sidecar.vm.open(sidecar.network, &connection).unwrap();
    let asked = sidecar.vm.take_asked();
    assert!(
        !asked.iter().any(|path| path.starts_with("connection.")),
        "{asked:?}"
    );
    sidecar.vm.data(accepted, b"GET").unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 1);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 1);
}

#[test]
fn the_http_plugin_alone_classifies_each_connection_and_caches_a_bounded_number() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let ask = |sidecar: &mut Sidecar, connection: &Connection| {
        let mut known = connection.clone();
        known.facts.extend(&connection.after_handshake);
        let accepted = sidecar.vm.accept(&known);
        let request = Request::get("curl");
        let exchange = sidecar
            .vm
            .request(sidecar.http, accepted, &request)
            .unwrap();
        sidecar.vm.finish(&exchange).unwrap();
        sidecar.vm.close(accepted).unwrap();
        exchange.values(HEADER).concat()
    };
    assert!(ask(&mut sidecar, &plaintext("10.0.0.7:1")).starts_with("plaintext;"));
    assert!(ask(&mut sidecar, &mutual_tls("10.0.0.8:1")).starts_with("mutual_tls;"));
    let tls = Connection::tls_without_certificate("10.0.0.9:1", HERE);
    assert!(ask(&mut sidecar, &tls).starts_with("tls_no_client_cert;"));
    // The close of these connections is never reported.
    for _ in 0..20_000 {
        ask(&mut sidecar, &plaintext("10.0.0.7:1"));
    }
    let before = sidecar.vm.tally().memory;
    for _ in 0..50_000 {
        ask(&mut sidecar, &plaintext("10.0.0.7:1"));
    }
    assert_eq!(sidecar.vm.tally().memory, before);
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.0.0.7")]), 70_001);
}

#[test]
fn one_module_serves_many_processes_without_mixing_them() {
    let first = real_module().unwrap();
    let second: Proxy = first.another();
    let mut sidecar = Sidecar::on(first, "{}").unwrap();
    sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    let other = Sidecar::on(second, "{}").unwrap();
    assert_eq!(other.scrape().unwrap().sum(CONNECTIONS, &[]), 0);
}

#[test]
fn a_plugin_of_the_wrong_type_is_harmless() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    // One plugin for both roles: the first callback of a context decides its role.
    let connection = plaintext("10.0.0.7:1");
    let accepted = sidecar.vm.open(sidecar.http, &connection).unwrap();
    sidecar.vm.data(accepted, b"GET").unwrap();
    let request = Request::get("curl");
    let network = sidecar.network;
    let exchange = sidecar.vm.request(network, accepted, &request).unwrap();
    assert!(exchange.values(HEADER).concat().starts_with("plaintext;"));
    // Data and close for contexts that no longer exist.
    sidecar.vm.finish(&exchange).unwrap();
    sidecar.vm.close(accepted).unwrap();
    sidecar.vm.data(accepted, b"GET").unwrap();
    sidecar.vm.close(accepted).unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 1);
    assert_eq!(scrape.sum(REQUESTS, &[]), 1);
}

#[test]
fn response_headers_are_added_only_when_configured_and_only_where_strict_rejects() {
    let configuration = r#"{"responseHeader": "x-mtls-notice", "exempt": [{"port": 9090}], "responseHeaders":
        {"deprecation": "@1767225600", "x-team": "payments"}}"#;
    let mut sidecar = Sidecar::start(configuration).unwrap();
    let names = ["x-mtls-notice", "deprecation", "x-team"];
    let plain = sidecar.connect(&plaintext("10.0.0.7:1")).unwrap();
    let response = sidecar.ask(plain, &Request::get("curl")).unwrap().response;
    let item = "plaintext;strict=reject;source_ip=\"10.0.0.7\"";
    for (name, value) in names.into_iter().zip([item, "@1767225600", "payments"]) {
        assert_eq!(header_values(&response, name), [value], "{name}");
    }
    // The application's own value is kept.
    let exchange = sidecar
        .vm
        .request(sidecar.http, plain, &Request::get("curl"))
        .unwrap();
    let own = vec![(b"deprecation".to_vec(), b"@1".to_vec())];
    let response = sidecar.vm.response(&exchange, &own).unwrap();
    assert_eq!(header_values(&response, "deprecation"), ["@1"]);
    let exempt = Connection::plaintext("10.0.0.7:2", "10.1.0.1:9090");
    for connection in [exempt, mutual_tls("10.0.0.8:1")] {
        let accepted = sidecar.connect(&connection).unwrap();
        let response = sidecar
            .ask(accepted, &Request::get("curl"))
            .unwrap()
            .response;
        for name in names {
            assert!(header_values(&response, name).is_empty(), "{name}");
        }
    }
}
