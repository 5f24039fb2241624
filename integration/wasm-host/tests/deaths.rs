//! A VM that is killed without a callback: which counts are kept, continue or are lost.
//!
//! Under FAIL_OPEN and FAIL_CLOSED the worker continues without the VM (unfiltered, or answering 503); under FAIL_RELOAD
//! Envoy replaces the VM
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/wasm/v3/wasm.proto>, `FailurePolicy`).

use plainsight_wasm_host::{Connection, Request, Sidecar, real_module};

const HERE: &str = "10.1.0.1:8080";
const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const CONNECTIONS: &str = "plainsight_connections_total";
const REQUESTS: &str = "plainsight_requests_total";
const ERRORS: &str = "plainsight_attribute_errors_total";

/// A connection with one request, left open.
fn call(sidecar: &mut Sidecar, connection: &Connection) {
    let accepted = sidecar.connect(connection).unwrap();
    sidecar.ask(accepted, &Request::get("curl")).unwrap();
}

fn plain() -> Connection {
    Connection::plaintext("10.9.0.1:40000", HERE)
}

#[test]
fn the_other_workers_keep_counting_when_a_vm_is_killed() {
    let proxy = real_module().unwrap();
    let mut dying = Sidecar::on(proxy.clone(), "{}").unwrap();
    let mut living = Sidecar::on(proxy, "{}").unwrap();
    call(&mut dying, &plain());
    drop(dying);
    call(&mut living, &plain());
    let scrape = living.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
}

#[test]
fn a_new_vm_continues_the_counts_of_the_killed_one() {
    let proxy = real_module().unwrap();
    let mut before = Sidecar::on(proxy.clone(), "{}").unwrap();
    call(&mut before, &plain());
    let mutual_tls = Connection::mutual_tls("10.9.0.2:40000", HERE, SAN);
    call(&mut before, &mutual_tls);
    drop(before);
    let mut after = Sidecar::on(proxy.clone(), "{}").unwrap();
    call(&mut after, &plain());
    // A connection that outlived its VM: its next request is classified by the HTTP plugin alone.
    let orphan = after.vm.accept(&plain());
    let request = Request::get("curl").header("x-plainsight-peer", "mutual_tls");
    let exchange = after.vm.request(after.http, orphan, &request).unwrap();
    assert_eq!(
        exchange.values("x-plainsight-peer"),
        ["plaintext;strict=reject;source_ip=\"10.9.0.1\""]
    );
    after.tick_after(5).unwrap();
    let scrape = after.scrape().unwrap();
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.9.0.1")]), 3);
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 1);
    // Lost with the VM: mutual TLS requests not flushed yet, of at most five seconds.
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "mutual_tls")]), 0);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
}
