//! What goes wrong with the host or the configuration harms nobody and is counted.

use super::*;

#[test]
fn an_unreadable_connection_is_neither_plaintext_nor_mutual_tls() {
    for path in [
        "connection.uri_san_peer_certificate",
        "connection.mtls",
        "filter_state.io.istio.peer_principal",
        "connection.tls_version",
    ] {
        let mut vm = vm("{}");
        vm.access.host.fail(&format!("property:{path}"), Status(10));
        connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
        assert_eq!(vm.access.host.metrics_with("peer="), [], "{path}");
        assert_eq!(
            vm.access.host.value("plainsight_attribute_errors_total"),
            1,
            "{path}"
        );
        request(&mut vm, 20, 10, &[("x-plainsight-peer", "mutual_tls")]);
        assert_eq!(
            vm.access.host.header("x-plainsight-peer"),
            Some("unknown"),
            "{path}"
        );
        vm.on_downstream_connection_close(10);
        assert_eq!(vm.connections.count(), 0);
    }
}

#[test]
fn a_wrong_width_is_an_error_and_no_plaintext() {
    let mut vm = vm("{}");
    vm.access.host.set("connection.mtls", &[0, 0]);
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(vm.access.host.metrics_with("peer="), []);
    assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 1);
}

#[test]
fn a_later_proof_outweighs_an_earlier_failure() {
    let mut vm = vm("{}");
    vm.access
        .host
        .fail("property:connection.uri_san_peer_certificate", Status(10));
    vm.access.host.set("connection.mtls", &[1]);
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(
        value(&vm, "peer=mutual_tls,strict=allow", "connections_total"),
        1
    );
    assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 1);
}

#[test]
fn a_san_that_is_no_text_is_still_a_certificate() {
    let mut vm = vm("{}");
    vm.access
        .host
        .set("connection.uri_san_peer_certificate", b"\xff\xfe");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(
        value(&vm, "peer=mutual_tls,strict=allow", "connections_total"),
        1
    );
}

#[test]
fn a_caller_without_a_readable_address_is_unknown_and_not_lost() {
    let mut vm = vm("{}");
    vm.access.host.fail("property:source.address", Status(10));
    vm.access.host.fail("property:destination.port", Status(10));
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    let name = "tag.peer=plaintext,strict=reject,source_ip=unknown,destination_workload=web,destination_workload_namespace=shop;.plainsight_connections_total";
    assert_eq!(vm.access.host.value(name), 1);
}

#[test]
fn a_request_without_an_id_still_loses_the_forged_header() {
    let mut vm = vm("{}");
    for status in 1..=12 {
        vm.access.host.fail("property", Status(status));
        vm.on_context_create(20, ROOT);
        vm.access.host.request_headers = vec![("x-plainsight-peer".into(), b"mutual_tls".to_vec())];
        vm.on_request_headers(20);
        assert_eq!(vm.access.host.header("x-plainsight-peer"), Some("unknown"));
        assert_eq!(
            vm.access.host.value("plainsight_attribute_errors_total"),
            i64::from(status)
        );
    }
}

#[test]
fn a_bad_configuration_is_told_counted_and_replaced() {
    let mut vm = vm(r#"{"maxCallers":-1,"nosuch":1,"exemptPorts":[8080]}"#);
    assert_eq!(vm.access.host.value("plainsight_config_errors"), 2);
    assert!(
        vm.access
            .host
            .log
            .iter()
            .any(|line| line.starts_with("plainsight: maxCallers: "))
    );
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(
        value(
            &vm,
            "peer=plaintext,strict=exempt,source_ip=10.0.0.7",
            "connections_total"
        ),
        1
    );
    // The plugin's next configuration comes with a root of its own; the old one falls silent.
    vm.access.host.seconds += 100;
    configure(&mut vm, 2, "{}");
    assert_eq!(vm.access.host.value("plainsight_config_errors"), 0);
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_problem() {
    let mut vm = vm("{}");
    vm.access.host.fail("plugin_configuration", Status(10));
    configure(&mut vm, 2, "{}");
    assert_eq!(vm.access.host.value("plainsight_config_errors"), 1);
    assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 1);
}

#[test]
fn callbacks_for_contexts_that_never_were_do_nothing() {
    let mut vm = vm("{}");
    vm.access.host.calls.clear();
    vm.on_downstream_data(99, 5);
    vm.on_downstream_connection_close(99);
    vm.on_new_connection(99);
    vm.on_request_headers(99);
    vm.on_response_headers(99);
    assert_eq!(vm.access.host.calls, Vec::<&str>::new());
}

#[test]
fn every_call_may_fail_with_every_status() {
    let calls = [
        "property",
        "downstream_data",
        "header",
        "replace_header",
        "add_header",
        "define_metric",
        "increment_metric",
        "record_metric",
        "shared",
        "set_shared",
        "now",
        "tick_every",
        "plugin_configuration",
    ];
    for call in calls {
        for status in 1..=12 {
            let mut vm = vm(r#"{"responseHeader":"x-you"}"#);
            vm.access.host.fail(call, Status(status));
            configure(&mut vm, 2, "{}");
            connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
            request(&mut vm, 20, 10, &[]);
            vm.on_response_headers(20);
            vm.on_tick(ROOT);
            vm.on_downstream_connection_close(10);
            assert_eq!(vm.connections.count(), 0, "{call} {status}");
        }
    }
}
