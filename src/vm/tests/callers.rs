//! Connections: who is counted, as what, how often.

use super::*;

const SAN: &str = "spiffe://cluster.local/ns/shop/sa/web";
const HELLO: [u8; 7] = [22, 3, 1, 2, 0, 1, 0];

#[test]
fn a_plaintext_caller_is_counted_with_its_address_and_evidence() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    let labels = "peer=plaintext,strict=reject,source_ip=10.0.0.7";
    assert_eq!(value(&vm, labels, "connections_total"), 1);
    assert_eq!(value(&vm, labels, "active_connections"), 1);
    assert_eq!(value(&vm, labels, "last_seen_timestamp_seconds"), 1_000);
    vm.on_downstream_connection_close(10);
    vm.on_downstream_connection_close(10);
    assert_eq!(value(&vm, labels, "active_connections"), 0);
    assert_eq!(vm.connections.count(), 0);
    assert_eq!(vm.connections.headers_held(), 0);
}

#[test]
fn nothing_is_read_before_data_comes() {
    let mut vm = vm("{}");
    vm.access.host.calls.clear();
    vm.on_context_create(10, ROOT);
    vm.on_new_connection(10);
    vm.on_downstream_data(10, 0);
    assert_eq!(vm.access.host.calls, Vec::<&str>::new());
}

#[test]
fn a_decided_connection_costs_no_host_call_per_read() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    vm.access.host.calls.clear();
    vm.on_downstream_data(10, 5_000);
    assert_eq!(vm.access.host.calls, Vec::<&str>::new());
}

#[test]
fn every_proof_of_mutual_tls_is_enough() {
    for proof in [
        "connection.uri_san_peer_certificate",
        "connection.mtls",
        "filter_state.io.istio.peer_principal",
    ] {
        let mut vm = vm("{}");
        vm.access.host.set("connection.tls_version", b"TLSv1.3");
        vm.access.host.set(
            proof,
            if proof == "connection.mtls" {
                &[1]
            } else {
                SAN.as_bytes()
            },
        );
        connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
        assert_eq!(
            value(&vm, "peer=mutual_tls,strict=allow", "connections_total"),
            1,
            "{proof}"
        );
        assert_eq!(plain_series(&vm), [], "{proof}");
        vm.on_downstream_connection_close(10);
        assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 0);
    }
}

#[test]
fn tls_without_a_certificate_and_tls_passed_through_are_told_apart() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", &HELLO);
    vm.access.host.set("connection.tls_version", b"TLSv1.3");
    connect(&mut vm, 11, "10.0.0.8:4000", &HELLO);
    assert_eq!(
        value(
            &vm,
            "peer=tls_passthrough,strict=reject,source_ip=10.0.0.7",
            "connections_total"
        ),
        1
    );
    assert_eq!(
        value(
            &vm,
            "peer=tls_no_client_cert,strict=reject,source_ip=10.0.0.8",
            "connections_total"
        ),
        1
    );
}

#[test]
fn a_client_hello_in_pieces_is_still_one() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", &HELLO[..1]);
    for byte in &HELLO[1..] {
        send(&mut vm, 10, "10.0.0.7:4000", &[*byte]);
    }
    assert_eq!(
        value(
            &vm,
            "peer=tls_passthrough,strict=reject,source_ip=10.0.0.7",
            "connections_total"
        ),
        1
    );
    assert_eq!(plain_series(&vm).len(), 3);
}

#[test]
fn a_piece_of_a_client_hello_alone_is_plaintext_at_the_end() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", &HELLO[..4]);
    assert_eq!(plain_series(&vm), []);
    vm.on_downstream_connection_close(10);
    let labels = "peer=plaintext,strict=reject,source_ip=10.0.0.7";
    assert_eq!(value(&vm, labels, "connections_total"), 1);
    assert_eq!(value(&vm, labels, "active_connections"), 0);
}

#[test]
fn an_exempt_port_exempts_and_a_name_names() {
    let mut vm = vm(
        r#"{"exemptPorts":[8080],"callers":[{"cidr":"10.0.0.0/8","name":"vms"}],"ipv4Prefix":24}"#,
    );
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    let labels = "peer=plaintext,strict=exempt,source_ip=10.0.0.0/24,source_name=vms";
    assert_eq!(value(&vm, labels, "connections_total"), 1);
}

#[test]
fn outbound_connections_are_left_alone() {
    let mut vm = vm("{}");
    vm.access
        .host
        .set("xds.listener_direction", &2_u64.to_le_bytes());
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    request(
        &mut vm,
        20,
        10,
        &[("x-plainsight-peer", "from the application")],
    );
    request(&mut vm, 21, 10, &[]);
    vm.on_downstream_connection_close(10);
    assert_eq!(vm.access.host.metrics_with("peer="), []);
    assert_eq!(vm.access.host.header("x-plainsight-peer"), None);
}

#[test]
fn principals_are_labels_only_where_they_are_wanted() {
    let mut vm = vm(r#"{"principals":true,"maxCallers":1}"#);
    mutual_tls(&mut vm, SAN);
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    mutual_tls(&mut vm, "spiffe://cache.example.com/ns/a;b");
    connect(&mut vm, 11, "10.0.0.7:4000", b"x");
    let one = format!("peer=mutual_tls,strict=allow,source_principal={SAN}");
    assert_eq!(value(&vm, &one, "connections_total"), 1);
    let rest = "peer=mutual_tls,strict=allow,source_principal=overflow";
    assert_eq!(value(&vm, rest, "connections_total"), 1);
    assert_eq!(vm.access.host.value("plainsight_overflow_total"), 1);
}

#[test]
fn callers_beyond_the_cap_are_the_overflow_and_keep_their_header() {
    let mut vm = vm(r#"{"maxCallers":2}"#);
    for n in 1..=5_u32 {
        connect(&mut vm, 10 + n, &format!("10.0.0.{n}:4000"), b"x");
    }
    let overflow = "peer=plaintext,strict=reject,source_ip=overflow";
    assert_eq!(value(&vm, overflow, "connections_total"), 3);
    assert_eq!(value(&vm, overflow, "active_connections"), 3);
    assert_eq!(vm.access.host.value("plainsight_overflow_total"), 3);
    request(&mut vm, 50, 15, &[]);
    assert_eq!(vm.access.host.value("plainsight_overflow_total"), 4);
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.5\"")
    );
}

#[test]
fn ports_beyond_the_cap_are_the_overflow() {
    let mut vm = vm("{}");
    for port in 1..=70_u32 {
        vm.access
            .host
            .set("destination.port", &u64::from(port).to_le_bytes());
        connect(&mut vm, 100 + port, "10.0.0.7:4000", b"x");
    }
    assert_eq!(vm.access.host.value("plainsight_overflow_total"), 6);
    assert_eq!(
        vm.access
            .host
            .metrics_with("destination_port=overflow;.plainsight_connections_total")
            .len(),
        1
    );
}

#[test]
fn exempt_ports_and_others_that_share_the_overflow_are_series_of_their_own() {
    // 17 callers may have 68 series between them.
    let mut vm = vm(r#"{"maxCallers":17,"exemptPorts":[66]}"#);
    for port in 1..=64_u32 {
        let port = u64::from(port).to_le_bytes();
        vm.access.host.set("destination.port", &port);
        connect(&mut vm, 1_000, "10.0.0.1:4000", b"x");
    }
    for caller in 1..=5 {
        for port in [65_u64, 66] {
            let address = format!("10.0.0.{caller}:4000");
            let port = port.to_le_bytes();
            vm.access.host.set("destination.port", &port);
            connect(&mut vm, 2_000, &address, b"x");
        }
    }
    let mut own = vm.access.host.metrics_with("connections_total");
    own.retain(|(name, _)| !name.contains("source_ip=overflow"));
    assert_eq!(own.len(), 68);
}

#[test]
fn each_new_caller_is_logged_once() {
    let mut vm = vm("{}");
    vm.access.host.log.clear();
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    connect(&mut vm, 11, "10.0.0.7:4001", b"x");
    assert_eq!(
        vm.access.host.log,
        [
            r#"{"plainsight":"new caller","peer":"plaintext","strict":"reject","source_ip":"10.0.0.7","destination_workload":"web","destination_workload_namespace":"shop","destination_port":8080}"#
        ]
    );
}

#[test]
fn a_caller_whose_handshake_failed_before_is_logged_when_it_comes_in() {
    let mut vm = vm("{}");
    vm.access.host.log.clear();
    vm.access.host.set("connection.tls_version", b"TLSv1.3");
    connect(&mut vm, 10, "10.0.0.7:4000", b"");
    vm.on_downstream_connection_close(10);
    assert_eq!(vm.access.host.log, Vec::<String>::new());
    vm.access.host.properties.remove("connection.tls_version");
    connect(&mut vm, 11, "10.0.0.7:4001", b"x");
    assert_eq!(vm.access.host.log.len(), 1);
    assert!(vm.access.host.log[0].contains(r#""peer":"plaintext""#));
}

#[test]
fn a_handshake_that_failed_counts_no_caller() {
    let mut vm = vm("{}");
    for (context, mtls, reason) in [(10, 0, ""), (11, 1, "TLS_error: CERTIFICATE_VERIFY_FAILED")] {
        vm.access.host.set("connection.tls_version", b"TLSv1.3");
        vm.access.host.set("connection.mtls", &[mtls]);
        vm.access
            .host
            .set("connection.transport_failure_reason", reason.as_bytes());
        connect(&mut vm, context, "10.0.0.7:4000", b"");
        vm.on_downstream_connection_close(context);
    }
    let name = format!("tag.source_ip=10.0.0.7,{TAIL};.plainsight_handshake_failures_total");
    assert_eq!(vm.access.host.value(&name), 2);
    assert_eq!(vm.access.host.metrics_with("peer="), []);
}

#[test]
fn a_connection_without_data_is_nobody() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"");
    vm.on_downstream_connection_close(10);
    mutual_tls(&mut vm, SAN);
    connect(&mut vm, 11, "10.0.0.7:4000", b"");
    vm.on_downstream_connection_close(11);
    assert_eq!(vm.access.host.metrics_with("peer="), []);
    assert_eq!(vm.access.host.metrics_with("handshake"), []);
}

#[test]
fn claims_stand_apart_and_are_bounded() {
    let mut vm = vm("{}");
    for n in 0..10 {
        vm.access.host.set(
            "filter_state.downstream_peer.workload",
            format!("w{n}").as_bytes(),
        );
        vm.access
            .host
            .set("filter_state.downstream_peer.namespace", b"legacy");
        connect(&mut vm, 10 + n, "10.0.0.7:4000", b"x");
    }
    let claims = vm.access.host.metrics_with("plainsight_caller_claims");
    assert_eq!(claims.len(), 4);
    assert_eq!(
        claims[0],
        ("tag.source_ip=10.0.0.7,claimed_workload=w0,claimed_workload_namespace=legacy;.plainsight_caller_claims".into(), 1)
    );
    assert_eq!(
        value(
            &vm,
            "peer=plaintext,strict=reject,source_ip=10.0.0.7",
            "connections_total"
        ),
        10
    );
}

#[test]
fn a_claim_parted_in_many_ways_is_many_claims() {
    let mut vm = vm("{}");
    let words = ["a"; 20];
    for n in 1..20 {
        let (workload, namespace) = words.split_at(n);
        for (name, words) in [("workload", workload), ("namespace", namespace)] {
            let path = format!("filter_state.downstream_peer.{name}");
            vm.access.host.set(&path, words.join(" ").as_bytes());
        }
        connect(&mut vm, 10, "10.0.0.7:4000", b"x");
        vm.on_downstream_connection_close(10);
    }
    let claims = vm.access.host.metrics_with("plainsight_caller_claims");
    assert_eq!(claims.len(), 4);
}

#[test]
fn an_idle_caller_stays_in_evidence() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    vm.access.host.seconds = 9_000;
    vm.on_tick(ROOT);
    assert_eq!(
        value(
            &vm,
            "peer=plaintext,strict=reject,source_ip=10.0.0.7",
            "last_seen_timestamp_seconds"
        ),
        9_000
    );
}

#[test]
fn the_timer_defines_nothing_anew() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    vm.on_tick(ROOT);
    vm.access.host.calls.clear();
    vm.on_tick(ROOT);
    assert_eq!(
        vm.access.host.calls,
        ["now", "record_metric", "record_metric"]
    );
}

#[test]
fn a_peer_that_was_met_before_is_read_with_the_settings_in_force() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    connect(&mut vm, 11, "10.0.0.7:4001", b"x");
    configure(&mut vm, ROOT, r#"{"exemptPorts":[8080]}"#);
    connect(&mut vm, 12, "10.0.0.7:4002", b"x");
    let count = |vm: &Vm<FakeHost>, strict: &str| {
        let labels = format!("peer=plaintext,strict={strict},source_ip=10.0.0.7");
        value(vm, &labels, "connections_total")
    };
    assert_eq!((count(&vm, "reject"), count(&vm, "exempt")), (2, 1));
    // Another plugin in the same VM has settings of its own.
    let other = ROOT + 1;
    configure(&mut vm, other, "{}");
    for context in [13, 14] {
        connect(&mut vm, context, "10.0.0.7:4003", b"x");
    }
    vm.on_context_create(15, other);
    vm.on_new_connection(15);
    send(&mut vm, 15, "10.0.0.7:4004", b"x");
    assert_eq!((count(&vm, "reject"), count(&vm, "exempt")), (3, 3));
}

#[test]
fn a_peer_that_was_met_before_is_told_by_all_that_its_labels_say() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    connect(&mut vm, 11, "10.0.0.8:4000", b"x");
    connect(
        &mut vm,
        12,
        "10.0.0.7:4000",
        b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
    );
    vm.access
        .host
        .set("destination.port", &9090_u64.to_le_bytes());
    connect(&mut vm, 13, "10.0.0.7:4000", b"x");
    let connections = vm.access.host.metrics_with("plainsight_connections_total");
    assert_eq!(connections.len(), 4, "{connections:?}");
    assert!(connections.iter().all(|(_, count)| *count == 1));
}
