//! Behaviour over several workers, reconfigurations and the end of a VM.

use plainsight_wasm_host::{Connection, Proxy, Request, Scrape, Sidecar, real_module};

const HERE: &str = "10.1.0.1:8080";
const CONNECTIONS: &str = "plainsight_connections_total";
const REQUESTS: &str = "plainsight_requests_total";
const HANDSHAKE_FAILURES: &str = "plainsight_handshake_failures_total";
const OVERFLOW: &str = "plainsight_overflow_total";
const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// Four workers of one process.
fn workers(proxy: &Proxy, configuration: &str) -> Vec<Sidecar> {
    let worker = || Sidecar::on(proxy.clone(), configuration).unwrap();
    std::iter::repeat_with(worker).take(4).collect()
}

fn caller(number: u32) -> Connection {
    let source = format!("10.9.{}.{}:40000", number / 250, number % 250);
    Connection::plaintext(&source, HERE)
}

fn identity(number: u32) -> Connection {
    let san = format!("spiffe://cluster.local/ns/shop/sa/a{number}");
    Connection::mutual_tls("10.0.0.8:1", HERE, &san)
}

/// A connection without data that shows no certificate.
fn fail_handshake(worker: &mut Sidecar, number: u32) {
    let failing = caller(number)
        .with(&["connection", "tls_version"], "TLSv1.3")
        .with(
            &["connection", "transport_failure_reason"],
            "TLS_error:|268435655:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE",
        );
    let accepted = worker.vm.open(worker.network, &failing).unwrap();
    worker.vm.close(accepted).unwrap();
}

/// Series of a metric whose callers have names.
fn named(scrape: &Scrape, metric: &str) -> usize {
    let overflow = |label| scrape.matching(metric, &[(label, "overflow")]).len();
    scrape.matching(metric, &[]).len() - overflow("source_ip") - overflow("source_principal")
}

#[test]
fn each_worker_names_max_callers_and_counts_the_rest_as_overflow() {
    let proxy = real_module().unwrap();
    let mut workers = workers(&proxy, r#"{"maxCallers": 50}"#);
    // Each worker has 100 different callers.
    for number in 0..400 {
        workers[number as usize % 4].call(&caller(number)).unwrap();
    }
    let scrape = workers[0].scrape().unwrap();
    assert_eq!(named(&scrape, CONNECTIONS), 4 * 50);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 400);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 200);
    // Each of the 200 counts for its connection and for its request.
    assert_eq!(scrape.sum(OVERFLOW, &[]), 400);
}

#[test]
fn a_caller_of_every_worker_counts_towards_the_cap_of_each() {
    let proxy = real_module().unwrap();
    let mut workers = workers(&proxy, r#"{"maxCallers": 5}"#);
    for worker in &mut workers {
        for number in 0..10 {
            worker.call(&caller(number)).unwrap();
        }
        // A named caller keeps its name when the cap is reached.
        worker.call(&caller(3)).unwrap();
    }
    let scrape = workers[0].scrape().unwrap();
    assert_eq!(named(&scrape, CONNECTIONS), 5);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.3")]), 8);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 20);
}

#[test]
fn principals_have_a_separate_cap_in_each_worker() {
    let proxy = real_module().unwrap();
    let configuration = r#"{"maxCallers": 10, "principals": true}"#;
    let mut workers = workers(&proxy, configuration);
    for number in 0..100 {
        workers[number as usize % 4]
            .call(&identity(number))
            .unwrap();
    }
    for number in 0..5 {
        workers[0].call(&caller(number)).unwrap();
    }
    let scrape = workers[0].scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 100);
    let overflow = [("source_principal", "overflow")];
    assert_eq!(scrape.sum(CONNECTIONS, &overflow), 100 - 4 * 10);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 0);
    assert_eq!(named(&scrape, CONNECTIONS), 4 * 10 + 5);
}

#[test]
fn failed_handshakes_have_a_separate_cap() {
    let mut worker = Sidecar::start(r#"{"maxCallers": 20}"#).unwrap();
    for number in 0..60 {
        fail_handshake(&mut worker, number);
    }
    for number in 100..105 {
        worker.call(&caller(number)).unwrap();
    }
    let scrape = worker.scrape().unwrap();
    assert_eq!(scrape.sum(HANDSHAKE_FAILURES, &[]), 60);
    assert_eq!(named(&scrape, HANDSHAKE_FAILURES), 20);
    assert_eq!(scrape.sum(OVERFLOW, &[]), 40);
    assert_eq!(named(&scrape, CONNECTIONS), 5);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 0);
}

#[test]
fn plaintext_callers_do_not_use_up_the_cap_of_failed_handshakes() {
    let mut worker = Sidecar::start(r#"{"maxCallers": 20}"#).unwrap();
    for number in 0..30 {
        worker.call(&caller(number)).unwrap();
    }
    fail_handshake(&mut worker, 1_000);
    let scrape = worker.scrape().unwrap();
    assert_eq!(named(&scrape, CONNECTIONS), 20);
    assert_eq!(
        scrape.sum(HANDSHAKE_FAILURES, &[("source_ip", "10.9.4.0")]),
        1
    );
}

#[test]
fn a_faulty_configuration_and_its_fix_lose_no_call() {
    let mut worker = Sidecar::start(r#"{"exempt": [{"port": 8080}]}"#).unwrap();
    worker.call(&caller(1)).unwrap();
    let lingering = worker.connect(&caller(2)).unwrap();
    let bad =
        r#"{"exempt": ["http"], "callers": [{"cidr": "10.0.0/8", "name": "x"}], "nosuch": 1}"#;
    worker.reconfigure(bad).unwrap();
    assert!(worker.network.configured && worker.http.configured);
    worker.call(&caller(3)).unwrap();
    worker.vm.close(lingering).unwrap();
    let then = worker.scrape().unwrap();
    assert_eq!(then.sum(CONNECTIONS, &[("strict", "exempt")]), 2);
    assert_eq!(then.sum(CONNECTIONS, &[("strict", "reject")]), 1);

    worker
        .reconfigure(r#"{"exempt": [{"port": 8080.0}]}"#)
        .unwrap();
    worker.call(&caller(1)).unwrap();
    let last = worker.scrape().unwrap();
    assert_eq!(last.sum(CONNECTIONS, &[("strict", "exempt")]), 3);
    assert_eq!(last.sum(REQUESTS, &[]), 3);
}

#[test]
fn counters_continue_in_the_next_vm() {
    let proxy = real_module().unwrap();
    let mut before = Sidecar::on(proxy.clone(), "{}").unwrap();
    let peer = Connection::mutual_tls("10.0.0.8:1", HERE, SAN);
    let mutual = before.connect(&peer).unwrap();
    before.ask(mutual, &Request::get("curl")).unwrap();
    before.call(&caller(1)).unwrap();
    // The timer flushes mutual TLS requests; then the configuration is removed, and the VM with its last stream.
    before.vm.close(mutual).unwrap();
    before.vm.tick().unwrap();
    before.vm.retire(before.network).unwrap();
    before.vm.retire(before.http).unwrap();
    drop(before);
    let mut after = Sidecar::on(proxy, "{}").unwrap();
    after.call(&caller(1)).unwrap();
    after.call(&caller(2)).unwrap();
    let scrape = after.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[]), 4);
}

#[test]
fn a_hundred_thousand_addresses_stay_within_the_bound_of_series() {
    const CALLERS: u32 = 100_000;
    let proxy = real_module().unwrap();
    let most: u32 = 100;
    let configuration = format!(r#"{{"maxCallers": {most}, "logCallers": false}}"#);
    let mut workers = workers(&proxy, &configuration);
    for number in 0..CALLERS {
        let source = format!("[fd00::{:x}:{:x}]:40000", number >> 16, number & 0xffff);
        let connection = Connection::plaintext(&source, HERE);
        workers[number as usize % 4].call(&connection).unwrap();
    }
    let scrape = workers[0].scrape().unwrap();
    assert_eq!(named(&scrape, CONNECTIONS), 4 * most as usize);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), i64::from(CALLERS));
    let beyond = i64::from(CALLERS - 4 * most);
    let overflow = [("source_ip", "overflow")];
    assert_eq!(scrape.sum(CONNECTIONS, &overflow), beyond);
    assert_eq!(scrape.sum(OVERFLOW, &[]), 2 * beyond);
    // Per named caller and for the overflow: connections, last seen, requests. Without labels: overflow, config errors, build.
    let bound = 3 * (4 * most as usize + 1) + 3;
    assert!(proxy.metrics().len() <= bound, "{}", proxy.metrics().len());
    for worker in &workers {
        assert!(worker.vm.tally().memory <= 2 * 1024 * 1024);
    }
}
