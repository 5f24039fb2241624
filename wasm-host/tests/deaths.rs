//! A VM that is killed in the middle of its work, without a callback: what stays, what goes on, what is lost.
//!
//! Under FAIL_OPEN and FAIL_CLOSED the dead VM's worker goes on without it (unfiltered, or answering 503); under FAIL_RELOAD
//! Envoy starts a new VM in its place
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/wasm/v3/wasm.proto>, `FailurePolicy`).

use plainsight_wasm_host::{
    Connection, Plugin, Proxy, Request, Scrape, TagRegexes, Vm, real_module,
};

const HERE: &str = "10.1.0.1:8080";
const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const CONNECTIONS: &str = "plainsight_connections_total";
const REQUESTS: &str = "plainsight_requests_total";
const ACTIVE: &str = "plainsight_active_connections";
const ERRORS: &str = "plainsight_attribute_errors_total";
const NEW_CALLER: &str = "\"plainsight\":\"new caller\"";

struct Worker {
    vm: Vm,
    network: Plugin,
    http: Plugin,
}

fn worker(proxy: &Proxy) -> Worker {
    let mut vm = proxy.worker().unwrap();
    let network = vm.plugin("{}").unwrap();
    let http = vm.plugin("{}").unwrap();
    Worker { vm, network, http }
}

/// A connection with one request, left open.
fn call(worker: &mut Worker, connection: &Connection) {
    let accepted = worker.vm.open(worker.network, connection).unwrap();
    worker.vm.data(accepted, b"GET").unwrap();
    let request = Request::get("curl");
    let exchange = worker.vm.request(worker.http, accepted, &request).unwrap();
    worker.vm.finish(&exchange).unwrap();
}

fn plain() -> Connection {
    Connection::plaintext("10.9.0.1:40000", HERE)
}

fn scrape(proxy: &Proxy) -> Scrape {
    Scrape::of(proxy.metrics(), &TagRegexes::stock(&[]).unwrap()).unwrap()
}

fn new_callers(worker: &mut Worker) -> usize {
    let lines = worker.vm.take_logs();
    lines
        .iter()
        .filter(|(_, line)| line.contains(NEW_CALLER))
        .count()
}

#[test]
fn the_other_workers_count_on_when_a_vm_is_gone() {
    let proxy = real_module().unwrap();
    let (mut dying, mut living) = (worker(&proxy), worker(&proxy));
    call(&mut dying, &plain());
    drop(dying);
    call(&mut living, &plain());
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
    // The dead VM cannot take its own connection back: the README says so.
    assert_eq!(scrape.sum(ACTIVE, &[]), 2);
}

#[test]
fn a_new_vm_goes_on_where_the_dead_one_stood() {
    let proxy = real_module().unwrap();
    let mut before = worker(&proxy);
    call(&mut before, &plain());
    call(
        &mut before,
        &Connection::mutual_tls("10.9.0.2:40000", HERE, SAN),
    );
    assert_eq!(new_callers(&mut before), 1);
    drop(before);
    let mut after = worker(&proxy);
    call(&mut after, &plain());
    // The caller has its place in shared data, and its series in Envoy.
    assert_eq!(new_callers(&mut after), 0);
    // A connection that outlived its VM: its next request is classified by the HTTP plugin alone.
    let orphan = after.vm.accept(&plain());
    let request = Request::get("curl").header("x-plainsight-peer", "mutual_tls");
    let exchange = after.vm.request(after.http, orphan, &request).unwrap();
    assert_eq!(
        exchange.values("x-plainsight-peer"),
        ["plaintext;strict=reject;source_ip=\"10.9.0.1\""]
    );
    proxy.advance(5);
    after.vm.tick().unwrap();
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(REQUESTS, &[("source_ip", "10.9.0.1")]), 3);
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 1);
    // Lost with the VM: what it had not handed over yet, mutual TLS requests of at most five seconds.
    assert_eq!(scrape.sum(REQUESTS, &[("peer", "mutual_tls")]), 0);
    assert_eq!(scrape.sum(ERRORS, &[]), 0);
}
