//! Requests: which connection they belong to, their count and their headers.

use super::*;

#[test]
fn a_request_has_its_connection_s_verdict_and_a_forged_header_is_replaced() {
    let mut vm = Vm::configured("{}");
    vm.connect(2, "10.0.0.7:1", HTTP);
    // In an HTTP context the address may come from X-Forwarded-For.
    vm.host().set(Attribute::SOURCE_ADDRESS, b"9.9.9.9:0");
    vm.request(3, 2, "curl/8");
    assert!(vm.only(REQUESTS, "source_ip=10.0.0.7"));
    assert!(vm.only(REQUESTS, "traffic=app"));
    assert_eq!(
        vm.peer_header(),
        "plaintext;strict=reject;source_ip=\"10.0.0.7\""
    );
}

#[test]
fn a_request_is_never_attributed_to_the_connection_whose_data_came_last() {
    let mut vm = Vm::configured("{}");
    vm.connect(2, "10.0.0.2:1", HTTP);
    vm.connect(3, "10.0.0.3:1", HTTP);
    for (stream, connection) in [(10, 2), (11, 3), (12, 2), (13, 3)] {
        vm.request(stream, connection, "");
        assert!(vm.peer_header().contains(&format!("10.0.0.{connection}")));
        // Marks both connections and makes 3 the latest.
        vm.send(2, HTTP);
        vm.send(3, HTTP);
    }
    assert_eq!(vm.sum(REQUESTS), 4);
}

#[test]
fn a_warm_request_reads_one_empty_property_and_no_user_agent() {
    let mut vm = Vm::configured("{}");
    vm.connect(2, "10.0.0.2:1", HTTP);
    vm.request(10, 2, "");
    vm.send(2, HTTP);
    vm.request(11, 2, "");
    vm.send(2, HTTP);
    vm.host().calls.clear();
    vm.host().returned = 0;
    vm.request(12, 2, "");
    assert_eq!(
        vm.host().calls,
        ["property", "increment_metric", "replace_header"]
    );
    assert_eq!(vm.host().returned, 0, "bytes of the property");
}

#[test]
fn a_request_on_a_connection_of_another_vm_is_classified_alone() {
    let mut vm = Vm::configured("{}");
    vm.request(10, 2, "");
    assert!(vm.only(REQUESTS, "peer=plaintext"));
    vm.connect(2, "10.0.0.2:1", HTTP);
    vm.id = Some(7);
    vm.host().set(Attribute::SOURCE_ADDRESS, b"9.9.9.9:0");
    vm.request(11, 2, "");
    assert_eq!(
        vm.peer_header(),
        "plaintext;strict=reject;source_ip=\"forwarded\""
    );
}

#[test]
fn application_traffic_is_never_hidden_as_a_probe() {
    let mut vm = Vm::configured("{}");
    vm.connect(2, "10.0.0.2:1", HTTP);
    for (stream, agent) in ["kube-probe/1", "Prometheus/3", "curl", "kube-probe/1"]
        .iter()
        .enumerate()
    {
        vm.request(10 + stream as u32, 2, agent);
    }
    let series = vm.host().series(REQUESTS);
    let counts: Vec<_> = series
        .iter()
        .map(|(labels, count)| (labels.rsplit('=').next().unwrap(), *count))
        .collect();
    assert_eq!(counts, [("probe", 1), ("scrape", 1), ("app", 2)]);
}

#[test]
fn mutual_tls_requests_are_flushed_on_the_timer() {
    let mut vm = Vm::configured("{}");
    vm.mutual_tls("spiffe://td/ns/a/sa/b");
    vm.connect(2, "10.0.0.7:1", HTTP);
    vm.request(3, 2, "kube-probe/1");
    vm.close(2, ClosedBy::Remote);
    assert_eq!(vm.sum(REQUESTS), 0);
    vm.on_tick(PLUGIN);
    assert_eq!(vm.sum(REQUESTS), 1);
    assert!(!vm.host().series(REQUESTS)[0].0.contains("traffic"));
}

#[test]
fn a_caller_that_strict_would_reject_gets_the_response_headers_that_the_application_did_not_set() {
    let mut vm = Vm::configured(
        r#"{"responseHeader":"x-you","responseHeaders":{"sunset":"soon","link":"<https://e.org>"}}"#,
    );
    vm.connect(2, "10.0.0.7:1", HTTP);
    vm.request(3, 2, "");
    let headers = &mut vm.host().response_headers;
    headers.insert("sunset".into(), "its own".into());
    // A second request waits for its response too.
    vm.on_context_create(4, PLUGIN);
    vm.on_request_headers(4);
    vm.on_response_headers(3);
    vm.on_response_headers(3);
    let headers = &vm.host().response_headers;
    assert_eq!(
        headers["x-you"],
        b"plaintext;strict=reject;source_ip=\"10.0.0.7\""
    );
    assert_eq!(headers["sunset"], b"its own");
    assert_eq!(headers["link"], b"<https://e.org>");
}

#[test]
fn each_of_the_response_settings_works_alone_and_without_them_nothing_is_kept() {
    for (configuration, header) in [
        (r#"{"responseHeader":"x-you"}"#, Some("x-you")),
        (r#"{"responseHeaders":{"sunset":"soon"}}"#, Some("sunset")),
        ("{}", None),
    ] {
        let mut vm = Vm::configured(configuration);
        vm.connect(2, "10.0.0.7:1", HTTP);
        vm.request(3, 2, "");
        assert_eq!(vm.requests.len(), usize::from(header.is_some()));
        vm.on_response_headers(3);
        let names = vm.host().response_headers.keys().map(String::as_str);
        assert_eq!(names.collect::<Vec<_>>(), Vec::from_iter(header));
    }
}

#[test]
fn requests_without_a_response_are_bounded() {
    let mut vm = Vm::configured(r#"{"responseHeader":"x-you"}"#);
    vm.connect(2, "10.0.0.7:1", HTTP);
    for stream in 0..20_000 {
        vm.request(100 + stream, 2, "");
        assert!(vm.requests.len() <= MAX_REQUESTS);
    }
}
