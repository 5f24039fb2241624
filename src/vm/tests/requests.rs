//! Requests: counted on their own connection, with the header that says so.

use super::*;

#[test]
fn a_plaintext_request_is_counted_by_its_purpose_and_marked() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    request(
        &mut vm,
        20,
        10,
        &[
            ("x-plainsight-peer", "mutual_tls"),
            ("x-plainsight-peer", "forged"),
        ],
    );
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.7\"")
    );
    assert_eq!(vm.access.host.request_headers.len(), 1);
    request(&mut vm, 21, 10, &[("user-agent", "kube-probe/1.34")]);
    let labels = |traffic: &str| {
        format!(
            "tag.peer=plaintext,strict=reject,source_ip=10.0.0.7,{TAIL},traffic={traffic};.plainsight_requests_total"
        )
    };
    assert_eq!(vm.access.host.value(&labels("app")), 1);
    assert_eq!(vm.access.host.value(&labels("probe")), 1);
}

#[test]
fn a_warm_request_makes_the_few_calls_it_needs() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    request(&mut vm, 20, 10, &[("user-agent", "curl")]);
    vm.access.host.calls.clear();
    request(&mut vm, 21, 10, &[("user-agent", "curl")]);
    assert_eq!(
        vm.access.host.calls,
        ["property", "header", "increment_metric", "replace_header"]
    );
    mutual_tls(&mut vm, "spiffe://a/b");
    connect(&mut vm, 11, "10.0.0.8:4000", b"GET /");
    request(&mut vm, 22, 11, &[]);
    vm.access.host.calls.clear();
    request(&mut vm, 23, 11, &[]);
    assert_eq!(vm.access.host.calls, ["property", "replace_header"]);
}

#[test]
fn mutual_tls_requests_are_handed_over_by_the_timer_and_at_the_end() {
    let mut vm = vm("{}");
    mutual_tls(&mut vm, "spiffe://a/b");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    let count = |vm: &Vm<FakeHost>| value(vm, "peer=mutual_tls,strict=allow", "requests_total");
    request(&mut vm, 20, 10, &[]);
    request(&mut vm, 21, 10, &[]);
    assert_eq!(count(&vm), 0);
    vm.on_tick(ROOT);
    assert_eq!(count(&vm), 2);
    request(&mut vm, 22, 10, &[]);
    vm.on_downstream_connection_close(10);
    assert_eq!(count(&vm), 3);
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("mutual_tls;strict=allow;principal=\"spiffe://a/b\"")
    );
    assert_eq!(plain_series(&vm), []);
}

#[test]
fn a_request_belongs_to_its_own_connection_whatever_spoke_last() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    mutual_tls(&mut vm, "spiffe://a/b");
    connect(&mut vm, 11, "10.0.0.8:4000", b"GET /");
    request(&mut vm, 20, 10, &[]);
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.7\"")
    );
}

#[test]
fn http_alone_classifies_once_for_each_connection() {
    let mut vm = vm("{}");
    vm.access.host.set("source.address", b"10.0.0.7:4000");
    request(&mut vm, 20, 0, &[]);
    let asked = vm.access.host.asked.len();
    request(&mut vm, 21, 0, &[]);
    assert_eq!(vm.access.host.asked.len(), asked + 1, "the id only");
    let name = format!(
        "tag.peer=plaintext,strict=reject,source_ip=10.0.0.7,{TAIL},traffic=app;.plainsight_requests_total"
    );
    assert_eq!(vm.access.host.value(&name), 2);
    assert_eq!(
        vm.access.host.metrics_with("connections"),
        [],
        "it sees no connections"
    );
}

#[test]
fn http_alone_never_takes_a_forwarded_address_for_the_caller() {
    let mut vm = vm("{}");
    vm.access.host.set("source.address", b"9.9.9.9:0");
    request(&mut vm, 20, 3, &[]);
    assert_eq!(vm.access.host.metrics_with("9.9.9.9"), []);
    assert_eq!(vm.access.host.metrics_with("source_ip=forwarded").len(), 2);
}

#[test]
fn http_alone_counts_mutual_tls_at_once() {
    let mut vm = vm("{}");
    mutual_tls(&mut vm, "spiffe://a/b");
    request(&mut vm, 20, 3, &[]);
    assert_eq!(
        value(&vm, "peer=mutual_tls,strict=allow", "requests_total"),
        1
    );
}

#[test]
fn claims_of_http_callers_come_with_the_first_request() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    vm.access
        .host
        .set("filter_state.downstream_peer.workload", b"cron");
    vm.access.host.set("source.address", b"9.9.9.9:0");
    request(&mut vm, 20, 10, &[]);
    let name = "tag.source_ip=10.0.0.7,claimed_workload=cron;.plainsight_caller_claims";
    assert_eq!(vm.access.host.value(name), 1);
}

#[test]
fn the_request_header_can_be_renamed_and_left_out() {
    let mut vm = vm(r#"{"requestHeader":"x-peer"}"#);
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    request(&mut vm, 20, 10, &[]);
    assert!(vm.access.host.header("x-peer").is_some());
    assert!(vm.access.host.header("x-plainsight-peer").is_none());
    let mut vm = super::vm(r#"{"requestHeader":null}"#);
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    request(&mut vm, 20, 10, &[]);
    assert_eq!(vm.access.host.request_headers, []);
}

#[test]
fn rejected_callers_are_told_where_that_was_asked_for() {
    let json = r#"{"responseHeader":"x-you","deprecation":{"since":"2026-01-01T00:00:00Z","sunset":"2026-06-01T00:00:00Z","link":"https://e.org/mtls"}}"#;
    let mut vm = vm(json);
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    request(&mut vm, 20, 10, &[]);
    vm.access.host.response_headers = vec![
        ("sunset".into(), b"mine".to_vec()),
        ("link".into(), b"<mine>".to_vec()),
    ];
    vm.on_response_headers(20);
    let sent: Vec<(String, String)> = vm
        .access
        .host
        .response_headers
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
        .collect();
    let wanted = [
        ("sunset", "mine"),
        ("link", "<mine>"),
        ("x-you", "plaintext;strict=reject;source_ip=\"10.0.0.7\""),
        ("deprecation", "@1767225600"),
        ("link", "<https://e.org/mtls>; rel=\"deprecation\""),
    ];
    assert_eq!(
        sent,
        wanted.map(|(name, value)| (name.into(), value.into()))
    );
    vm.access.host.response_headers.clear();
    vm.on_response_headers(20);
    assert_eq!(vm.access.host.response_headers, [], "once");
    mutual_tls(&mut vm, "spiffe://a/b");
    connect(&mut vm, 11, "10.0.0.8:4000", b"x");
    request(&mut vm, 21, 11, &[]);
    vm.on_response_headers(21);
    assert_eq!(
        vm.access.host.response_headers,
        [],
        "mutual TLS is told nothing"
    );
}

#[test]
fn a_response_that_never_came_keeps_no_header() {
    let mut vm = vm(r#"{"responseHeader":"x-you"}"#);
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    request(&mut vm, 20, 10, &[]);
    vm.on_downstream_connection_close(10);
    vm.on_response_headers(20);
    vm.on_tick(ROOT);
    assert_eq!(vm.connections.headers_held(), 0);
}

/// The properties asked for, with the calls they came among.
fn taken(vm: &mut Vm<FakeHost>) -> (Vec<String>, Vec<&'static str>) {
    let host = &mut vm.access.host;
    (
        std::mem::take(&mut host.asked),
        std::mem::take(&mut host.calls),
    )
}

/// A connection that is marked: its second read after a request.
fn marked(vm: &mut Vm<FakeHost>, context: u32, source: &str) {
    connect(vm, context, source, b"GET /");
    request(vm, context + 1_000, context, &[]);
    send(vm, context, source, b"GET /");
}

const MARK_10: &str = "plainsight/e8d4a51000/a";

#[test]
fn a_connection_with_a_second_read_is_marked_once_and_found_by_its_mark() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    request(&mut vm, 20, 10, &[]);
    taken(&mut vm);
    send(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(taken(&mut vm).1, ["now", "set_property"]);
    request(&mut vm, 21, 10, &[]);
    let (asked, calls) = taken(&mut vm);
    assert_eq!(asked, [MARK_10]);
    assert_eq!(
        calls,
        ["property", "header", "increment_metric", "replace_header"]
    );
    send(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    assert_eq!(taken(&mut vm).1, [""; 0], "a mark is set once");
}

#[test]
fn a_connection_without_requests_is_not_marked() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"x");
    taken(&mut vm);
    for _ in 0..3 {
        send(&mut vm, 10, "10.0.0.7:4000", b"x");
    }
    assert_eq!(taken(&mut vm).1, [""; 0]);
}

#[test]
fn a_request_of_another_connection_than_spoke_last_is_found_by_its_id() {
    let mut vm = vm("{}");
    marked(&mut vm, 10, "10.0.0.7:4000");
    mutual_tls(&mut vm, "spiffe://a/b");
    marked(&mut vm, 11, "10.0.0.8:4000");
    taken(&mut vm);
    // Delayed by a filter ahead, or pipelined: the data of 11 came after that of 10.
    request(&mut vm, 20, 10, &[]);
    assert_eq!(
        taken(&mut vm).0,
        ["plainsight/e8d4a51000/b", "connection.id"]
    );
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.7\"")
    );
    request(&mut vm, 21, 11, &[]);
    assert_eq!(taken(&mut vm).0, ["plainsight/e8d4a51000/b"], "marks go on");
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("mutual_tls;strict=allow;principal=\"spiffe://a/b\"")
    );
}

#[test]
fn a_closed_connection_is_not_found_by_its_mark() {
    let mut vm = vm("{}");
    marked(&mut vm, 10, "10.0.0.7:4000");
    vm.on_downstream_connection_close(10);
    taken(&mut vm);
    request(&mut vm, 20, 10, &[]);
    assert!(!taken(&mut vm).0.contains(&MARK_10.into()));
}

#[test]
fn a_host_that_keeps_no_marks_is_not_asked_for_them_again() {
    let mut vm = vm("{}");
    marked(&mut vm, 10, "10.0.0.7:4000");
    vm.access.host.own_properties.clear();
    taken(&mut vm);
    request(&mut vm, 20, 10, &[]);
    assert_eq!(taken(&mut vm).0, [MARK_10, "connection.id"]);
    for _ in 0..2 {
        send(&mut vm, 10, "10.0.0.7:4000", b"GET /");
        request(&mut vm, 21, 10, &[]);
        let (asked, calls) = taken(&mut vm);
        assert_eq!(asked, ["connection.id"]);
        assert!(!calls.contains(&"set_property"));
    }
}

#[test]
fn a_host_that_takes_no_marks_is_offered_one_and_no_more() {
    let mut vm = vm("{}");
    vm.access.host.fail("set_property", Status(12));
    marked(&mut vm, 10, "10.0.0.7:4000");
    for stream in 20..23 {
        request(&mut vm, stream, 10, &[]);
        send(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    }
    let offered = vm.access.host.calls.iter();
    assert_eq!(offered.filter(|call| **call == "set_property").count(), 1);
    assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 1);
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.7\"")
    );
}

#[test]
fn a_mark_with_a_value_is_an_error_and_no_mark() {
    let mut vm = vm("{}");
    marked(&mut vm, 10, "10.0.0.7:4000");
    vm.access.host.own_properties.clear();
    vm.access.host.set(MARK_10, b"1");
    request(&mut vm, 20, 10, &[]);
    assert_eq!(vm.access.host.value("plainsight_attribute_errors_total"), 1);
    assert_eq!(
        vm.access.host.header("x-plainsight-peer"),
        Some("plaintext;strict=reject;source_ip=\"10.0.0.7\"")
    );
}

#[test]
fn where_requests_are_seen_claims_are_asked_for_with_the_request() {
    let mut vm = vm("{}");
    connect(&mut vm, 10, "10.0.0.7:4000", b"GET /");
    request(&mut vm, 20, 10, &[]);
    let claims = |vm: &mut Vm<FakeHost>| {
        let (asked, _) = taken(vm);
        let claims = asked.iter().filter(|path| path.contains("downstream_peer"));
        claims.cloned().collect::<Vec<_>>()
    };
    let workload = "filter_state.downstream_peer.workload";
    assert_eq!(
        claims(&mut vm),
        [workload, workload],
        "nothing was known yet"
    );
    connect(&mut vm, 11, "10.0.0.7:4001", b"GET /");
    assert_eq!(claims(&mut vm), [""; 0]);
    request(&mut vm, 21, 11, &[]);
    assert_eq!(claims(&mut vm), [workload]);
    vm.on_downstream_connection_close(11);
    assert_eq!(claims(&mut vm), [""; 0]);
    // A few bytes that began like TLS, and no more.
    connect(&mut vm, 13, "10.0.0.7:4003", b"\x16\x03");
    vm.on_downstream_connection_close(13);
    assert_eq!(claims(&mut vm), [workload]);
    // A connection without requests is asked at its second read, once.
    connect(&mut vm, 14, "10.0.0.7:4004", b"x");
    for asked in [1, 0] {
        send(&mut vm, 14, "10.0.0.7:4004", b"x");
        assert_eq!(claims(&mut vm).len(), asked);
    }
    // A connection that never carried a request is asked at its end.
    connect(&mut vm, 12, "10.0.0.7:4002", b"x");
    assert_eq!(claims(&mut vm), [""; 0]);
    vm.access.host.set(workload, b"cron");
    vm.on_downstream_connection_close(12);
    let name = "tag.source_ip=10.0.0.7,claimed_workload=cron;.plainsight_caller_claims";
    assert_eq!(vm.access.host.value(name), 1);
}
