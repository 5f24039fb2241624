//! What the contract promises over several workers, reconfigurations and the end of a VM.

use plainsight_wasm_host::{
    Connection, Plugin, Proxy, Request, Scrape, TagRegexes, Vm, real_module,
};
use std::{cell::RefCell, rc::Rc};

const HERE: &str = "10.1.0.1:8080";
const CONNECTIONS: &str = "plainsight_connections_total";
const ACTIVE: &str = "plainsight_active_connections";
const CLAIMS: &str = "plainsight_caller_claims";
const CONFIG_ERRORS: &str = "plainsight_config_errors";
const OVERFLOW: &str = "plainsight_overflow_total";
const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";

struct Worker {
    vm: Vm,
    network: Plugin,
    http: Plugin,
}

fn worker(proxy: &Proxy, configuration: &str) -> Worker {
    let mut vm = proxy.worker().unwrap();
    let network = vm.plugin(configuration).unwrap();
    let http = vm.plugin(configuration).unwrap();
    Worker { vm, network, http }
}

impl Worker {
    fn call(&mut self, connection: &Connection) {
        let accepted = self.vm.open(self.network, connection).unwrap();
        self.vm.data(accepted, b"GET").unwrap();
        let request = Request::get("curl");
        let exchange = self.vm.request(self.http, accepted, &request).unwrap();
        self.vm.finish(&exchange).unwrap();
        self.vm.close(accepted).unwrap();
    }
}

fn caller(number: u32) -> Connection {
    let source = format!("10.9.{}.{}:40000", number / 250, number % 250);
    Connection::plaintext(&source, HERE)
}

fn scrape(proxy: &Proxy) -> Scrape {
    Scrape::of(proxy.metrics(), &TagRegexes::stock(&[]).unwrap()).unwrap()
}

/// Callers that have a series of their own.
fn named(scrape: &Scrape) -> usize {
    let all = scrape.matching(CONNECTIONS, &[]).len();
    all - scrape
        .matching(CONNECTIONS, &[("source_ip", "overflow")])
        .len()
}

#[test]
fn the_cap_holds_over_four_workers_that_take_turns() {
    let proxy = real_module().unwrap();
    let configuration = r#"{"maxCallers": 50}"#;
    let mut workers: Vec<_> = (0..4).map(|_| worker(&proxy, configuration)).collect();
    for number in 0..400 {
        workers[number as usize % 4].call(&caller(number));
    }
    let scrape = scrape(&proxy);
    assert_eq!(named(&scrape), 50);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 400);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 350);
    // Each of the 350 counts once for its connection and once for its request.
    assert_eq!(scrape.sum(OVERFLOW, &[]), 700);
    assert_eq!(scrape.sum(ACTIVE, &[]), 0);
}

#[test]
fn the_cap_is_reached_exactly_whoever_writes_in_between() {
    let proxy = real_module().unwrap();
    let configuration = r#"{"maxCallers": 20}"#;
    let mut first = worker(&proxy, configuration);
    let others: Vec<_> = (0..3)
        .map(|_| Rc::new(RefCell::new(worker(&proxy, configuration))))
        .collect();
    for number in 0..60 {
        // While the first worker is between its read and its write, another one lets callers in: a new one, and the same one.
        let quicker = Rc::clone(&others[number as usize % 3]);
        first.vm.before_shared_write(move || {
            let mut quicker = quicker.borrow_mut();
            quicker.call(&caller(1_000 + number));
            quicker.call(&caller(number));
        });
        first.call(&caller(number));
    }
    assert!(proxy.shared().conflicts() > 0);
    let scrape = scrape(&proxy);
    assert_eq!(named(&scrape), 20);
    let errors = scrape.sum("plainsight_attribute_errors_total", &[]);
    assert_eq!(errors, 0);
}

#[test]
fn a_worker_that_always_comes_second_gives_up_as_overflow() {
    let proxy = real_module().unwrap();
    let mut worker = worker(&proxy, "{}");
    worker.call(&caller(1));
    proxy.shared().conflict_next(1_000_000);
    worker.call(&caller(2));
    proxy.shared().conflict_next(0);
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 2);
    assert_eq!(scrape.sum(ACTIVE, &[]), 0);
}

#[test]
fn a_caller_known_to_one_worker_is_named_by_all_when_the_table_is_full() {
    let proxy = real_module().unwrap();
    let configuration = r#"{"maxCallers": 5}"#;
    let mut workers: Vec<_> = (0..4).map(|_| worker(&proxy, configuration)).collect();
    for number in 0..5 {
        workers[0].call(&caller(number));
    }
    for worker in &mut workers {
        for number in 0..10 {
            worker.call(&caller(number));
        }
    }
    let scrape = scrape(&proxy);
    assert_eq!(named(&scrape), 5);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.3")]), 5);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]), 20);
}

#[test]
fn principals_are_bounded_as_callers_are() {
    let proxy = real_module().unwrap();
    let configuration = r#"{"maxCallers": 10, "principals": true}"#;
    let mut workers: Vec<_> = (0..4).map(|_| worker(&proxy, configuration)).collect();
    for number in 0..100 {
        let san = format!("spiffe://cluster.local/ns/shop/sa/a{number}");
        let connection = Connection::mutual_tls("10.0.0.8:1", HERE, &san);
        workers[number % 4].call(&connection);
    }
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONNECTIONS, &[("peer", "mutual_tls")]), 100);
    assert_eq!(
        scrape.sum(CONNECTIONS, &[("source_principal", "overflow")]),
        90
    );
    assert_eq!(scrape.matching(CONNECTIONS, &[]).len(), 11);
}

fn claiming(number: u32, workload: &str, namespace: &str) -> Connection {
    let workload_path = ["filter_state", "downstream_peer", "workload"];
    let namespace_path = ["filter_state", "downstream_peer", "namespace"];
    caller(number)
        .with(&workload_path, workload)
        .with(&namespace_path, namespace)
}

#[test]
fn a_claim_is_a_metric_of_its_own_and_changes_nothing_else() {
    let proxy = real_module().unwrap();
    let mut worker = worker(&proxy, "{}");
    worker.call(&claiming(1, "payments", "bank"));
    let scrape = scrape(&proxy);
    let claim = [
        ("source_ip", "10.9.0.1"),
        ("claimed_workload", "payments"),
        ("claimed_workload_namespace", "bank"),
    ];
    assert_eq!(scrape.sum(CLAIMS, &claim), 1);
    let caller = [("peer", "plaintext"), ("source_ip", "10.9.0.1")];
    assert_eq!(scrape.sum(CONNECTIONS, &caller), 1);
    for sample in &scrape.samples {
        let text = format!("{:?}", sample.labels);
        assert!(
            sample.name == CLAIMS || !text.contains("payments"),
            "{sample:?}"
        );
    }
}

#[test]
fn an_address_has_at_most_four_claims_over_all_workers() {
    let proxy = real_module().unwrap();
    let mut workers: Vec<_> = (0..4).map(|_| worker(&proxy, "{}")).collect();
    for number in 0..40 {
        let workload = format!("forged-{number}");
        workers[number % 4].call(&claiming(1, &workload, "bank"));
    }
    workers[0].call(&claiming(2, "other", "bank"));
    let scrape = scrape(&proxy);
    assert_eq!(
        scrape.matching(CLAIMS, &[("source_ip", "10.9.0.1")]).len(),
        4
    );
    assert_eq!(
        scrape.matching(CLAIMS, &[("source_ip", "10.9.0.2")]).len(),
        1
    );
}

#[test]
fn all_claims_together_are_at_most_max_callers() {
    let proxy = real_module().unwrap();
    let mut workers: Vec<_> = (0..4)
        .map(|_| worker(&proxy, r#"{"maxCallers": 30}"#))
        .collect();
    for number in 0..100 {
        for claim in 0..3 {
            let workload = format!("forged-{claim}");
            workers[number as usize % 4].call(&claiming(number, &workload, "bank"));
        }
    }
    assert_eq!(scrape(&proxy).matching(CLAIMS, &[]).len(), 30);
}

#[test]
fn a_mutual_tls_peer_makes_no_claim() {
    let proxy = real_module().unwrap();
    let mut worker = worker(&proxy, "{}");
    let peer = Connection::mutual_tls("10.0.0.8:1", HERE, SAN)
        .with(&["filter_state", "downstream_peer", "workload"], "cart");
    worker.call(&peer);
    assert!(scrape(&proxy).matching(CLAIMS, &[]).is_empty());
}

#[test]
fn a_reconfiguration_good_bad_good_loses_no_call_and_tells_its_problems() {
    let proxy = real_module().unwrap();
    let mut worker = worker(&proxy, r#"{"exemptPorts": [8080]}"#);
    worker.call(&caller(1));
    assert_eq!(scrape(&proxy).sum(CONFIG_ERRORS, &[]), 0);

    // Envoy starts the new plugins before the old ones have drained.
    let lingering = worker.vm.open(worker.network, &caller(2)).unwrap();
    worker.vm.data(lingering, b"GET").unwrap();
    let old = (worker.network, worker.http);
    let bad =
        r#"{"exemptPorts": ["http"], "callers": [{"cidr": "10.0.0/8", "name": "x"}], "nosuch": 1}"#;
    worker.network = worker.vm.plugin(bad).unwrap();
    worker.http = worker.vm.plugin(bad).unwrap();
    assert!(worker.network.configured && worker.http.configured);
    worker.call(&caller(3));
    worker.vm.close(lingering).unwrap();
    worker.vm.retire(old.0).unwrap();
    worker.vm.retire(old.1).unwrap();
    let told = worker.vm.take_logs();
    for path in ["exemptPorts[0]: ", "callers[0].cidr: ", "nosuch: "] {
        assert!(
            told.iter().any(|(_, line)| line.contains(path)),
            "{path}: {told:?}"
        );
    }
    let then = scrape(&proxy);
    // Three in each of the two plugins.
    assert_eq!(then.sum(CONFIG_ERRORS, &[]), 6);
    assert_eq!(then.sum(CONNECTIONS, &[("strict", "exempt")]), 2);
    assert_eq!(then.sum(CONNECTIONS, &[("strict", "reject")]), 1);

    let old = (worker.network, worker.http);
    worker.network = worker.vm.plugin(r#"{"exemptPorts": [8080.0]}"#).unwrap();
    worker.http = worker.vm.plugin(r#"{"exemptPorts": [8080.0]}"#).unwrap();
    worker.vm.retire(old.0).unwrap();
    worker.vm.retire(old.1).unwrap();
    worker.call(&caller(1));
    for _ in 0..12 {
        proxy.advance(5);
        worker.vm.tick().unwrap();
    }
    let last = scrape(&proxy);
    assert_eq!(last.sum(CONFIG_ERRORS, &[]), 0);
    assert_eq!(last.sum(CONNECTIONS, &[("strict", "exempt")]), 3);
    assert_eq!(last.sum(ACTIVE, &[]), 0);
}

#[test]
fn the_vms_that_envoy_makes_to_try_a_configuration_leave_no_trace() {
    let proxy = real_module().unwrap();
    let mut canary = proxy.worker().unwrap();
    assert!(canary.plugin(r#"{"maxCallers": 0}"#).unwrap().configured);
    drop(canary);
    let mut main = worker(&proxy, r#"{"maxCallers": 10}"#);
    let mut busy = worker(&proxy, r#"{"maxCallers": 10}"#);
    busy.call(&caller(1));
    main.vm.tick().unwrap();
    busy.vm.tick().unwrap();
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONFIG_ERRORS, &[]), 0);
    assert_eq!(scrape.sum(ACTIVE, &[]), 0);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 1);
}

#[test]
fn counters_go_on_in_the_vm_after_and_no_active_connection_stays_behind() {
    let proxy = real_module().unwrap();
    let mut before = worker(&proxy, "{}");
    let peer = Connection::mutual_tls("10.0.0.8:1", HERE, SAN);
    let mutual = before.vm.open(before.network, &peer).unwrap();
    before.vm.data(mutual, b"GET").unwrap();
    let request = Request::get("curl");
    let exchange = before.vm.request(before.http, mutual, &request).unwrap();
    let plain = before.vm.open(before.network, &caller(1)).unwrap();
    before.vm.data(plain, b"GET").unwrap();
    let (network, http) = (before.network, before.http);
    // The configuration is gone, its streams drain, then the VM goes.
    before.vm.finish(&exchange).unwrap();
    before.vm.close(plain).unwrap();
    before.vm.close(mutual).unwrap();
    before.vm.retire(network).unwrap();
    before.vm.retire(http).unwrap();
    drop(before);
    let between = scrape(&proxy);
    assert_eq!(between.sum(ACTIVE, &[]), 0);
    // Requests that were only added up in the VM were handed over when their connection ended.
    assert_eq!(between.sum("plainsight_requests_total", &[]), 1);
    let mut after = worker(&proxy, "{}");
    after.call(&caller(1));
    after.call(&caller(2));
    let scrape = scrape(&proxy);
    assert_eq!(scrape.sum(CONNECTIONS, &[("source_ip", "10.9.0.1")]), 2);
    assert_eq!(scrape.sum(ACTIVE, &[]), 0);
}

#[test]
fn a_hundred_thousand_addresses_leave_as_many_series_as_the_bound_says() {
    let proxy = real_module().unwrap();
    let most = 100;
    let configuration = format!(r#"{{"maxCallers": {most}, "logCallers": false}}"#);
    let mut workers: Vec<_> = (0..4).map(|_| worker(&proxy, &configuration)).collect();
    for number in 0..100_000_u32 {
        let source = format!("[fd00::{:x}:{:x}]:40000", number >> 16, number & 0xffff);
        let connection = Connection::plaintext(&source, HERE).with(
            &["filter_state", "downstream_peer", "workload"],
            format!("w{number}"),
        );
        workers[number as usize % 4].call(&connection);
    }
    let scrape = scrape(&proxy);
    assert_eq!(named(&scrape), most);
    assert_eq!(scrape.sum(CONNECTIONS, &[]), 100_000);
    let beyond = 100_000 - most as i64;
    assert_eq!(
        scrape.sum(CONNECTIONS, &[("source_ip", "overflow")]),
        beyond
    );
    assert_eq!(scrape.sum(OVERFLOW, &[]), 2 * beyond);
    // Per caller and for the overflow: connections, active, last seen, requests. Claims: as many as callers. Four without labels.
    let bound = 4 * (most + 1) + most + 4 + 1;
    assert!(proxy.metrics().len() <= bound, "{}", proxy.metrics().len());
    for worker in &workers {
        assert!(worker.vm.tally().memory <= 2 * 1024 * 1024);
    }
}
