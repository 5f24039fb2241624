//! The exact cost of the module: host calls, VM entries, allocations, bytes. Counted, so without noise.

use plainsight_wasm_host::{Connection, Request, Sidecar, Tally};
use std::collections::BTreeMap;

const SAN: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const HERE: &str = "10.1.0.1:8080";
const MIB: u64 = 1024 * 1024;

fn plaintext() -> Connection {
    Connection::plaintext("10.0.0.7:40000", HERE)
}

fn mutual_tls() -> Connection {
    Connection::mutual_tls("10.0.0.8:40000", HERE, SAN)
}

/// The cost of the third request on a connection.
fn warm_request(configuration: &str, connection: &Connection) -> Tally {
    let mut sidecar = Sidecar::start(configuration).unwrap();
    let accepted = sidecar.connect(connection).unwrap();
    for _ in 0..2 {
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    }
    let before = sidecar.vm.tally();
    sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    sidecar.vm.tally().since(&before)
}

fn counts(names: &[(&'static str, u64)]) -> BTreeMap<&'static str, u64> {
    names.iter().copied().collect()
}

/// Every pod loads it, and V8 compiles it: most of the memory depends on its size.
#[test]
fn the_module_has_at_most_150_000_bytes() {
    let size = plainsight_wasm_host::real_module_bytes().unwrap().len();
    assert!(size <= 150_000, "{size} bytes");
}

#[test]
fn a_warm_mutual_tls_request_makes_two_host_calls() {
    let cost = warm_request("{}", &mutual_tls());
    let expected = counts(&[
        ("proxy_get_property", 1),
        ("proxy_replace_header_map_value", 1),
    ]);
    assert_eq!(cost.calls, expected);
    // The mark has an empty value, so the host does not re-enter the VM to allocate memory.
    assert_eq!(cost.allocations, 0);
}

#[test]
fn a_warm_plaintext_request_makes_three_host_calls() {
    let cost = warm_request("{}", &plaintext());
    let expected = counts(&[
        ("proxy_get_property", 1),
        ("proxy_increment_metric", 1),
        ("proxy_replace_header_map_value", 1),
    ]);
    assert_eq!(cost.calls, expected);
    assert_eq!(cost.allocations, 0);
}

#[test]
fn the_one_property_of_a_warm_request_is_the_mark_of_its_connection() {
    for connection in [plaintext(), mutual_tls()] {
        let mut sidecar = Sidecar::start("{}").unwrap();
        let accepted = sidecar.connect(&connection).unwrap();
        sidecar.ask(accepted, &Request::get("curl")).unwrap();
        sidecar.vm.take_asked();
        sidecar.ask(accepted, &Request::get("curl")).unwrap();
        let asked = sidecar.vm.take_asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].starts_with("plainsight/"), "{asked:?}");
    }
}

#[test]
fn a_request_after_data_of_another_connection_reads_the_connection_id_too() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let waiting = sidecar.connect(&mutual_tls()).unwrap();
    let other = sidecar.connect(&plaintext()).unwrap();
    let request = Request::get("curl/8.5");
    for accepted in [waiting, other, waiting, other] {
        sidecar.ask(accepted, &request).unwrap();
    }
    let before = sidecar.vm.tally();
    let exchange = sidecar.vm.request(sidecar.http, waiting, &request).unwrap();
    let cost = sidecar.vm.tally().since(&before);
    let expected = counts(&[
        ("proxy_get_property", 2),
        ("proxy_replace_header_map_value", 1),
    ]);
    assert_eq!(cost.calls, expected);
    let header = exchange.values("x-plainsight-peer").concat();
    assert!(header.starts_with("mutual_tls;"), "{header}");
}

/// The cost of a connection of a known caller with a single request.
fn short_connection(connection: &Connection) -> Tally {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let mut live = || {
        let accepted = sidecar.vm.open(sidecar.network, connection).unwrap();
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
        sidecar.vm.close(accepted).unwrap();
        sidecar.vm.tally()
    };
    let before = live();
    live().since(&before)
}

#[test]
fn a_new_connection_with_one_request_of_a_cached_caller_makes_at_most_12_host_calls_or_8_with_mutual_tls()
 {
    for (connection, most) in [(plaintext(), 12), (mutual_tls(), 8)] {
        let cost = short_connection(&connection);
        println!("{} host calls: {:?}", cost.called(), cost.calls);
        assert!(
            cost.called() <= most,
            "{} of {most}: {:?}",
            cost.called(),
            cost.calls
        );
    }
}

#[test]
fn a_request_enters_the_vm_three_times_beyond_its_read_and_never_for_a_body() {
    for connection in [plaintext(), mutual_tls()] {
        let cost = warm_request("{}", &connection);
        let expected = counts(&[
            ("proxy_on_context_create", 1),
            ("proxy_on_downstream_data", 1),
            ("proxy_on_request_headers", 1),
            ("proxy_on_response_headers", 1),
        ]);
        assert_eq!(cost.entries, expected);
    }
}

#[test]
fn no_callback_is_exported_for_chunks_or_the_end_of_a_stream() {
    let sidecar = Sidecar::start("{}").unwrap();
    let mut exports = sidecar.proxy.exported_functions();
    let costly = [
        "body",
        "trailers",
        "upstream",
        "metadata",
        "on_log",
        "on_done",
        "on_delete",
    ];
    exports.retain(|name| costly.iter().any(|word| name.contains(word)));
    assert!(exports.is_empty(), "{exports:?}");
}

#[test]
fn a_further_read_of_a_classified_connection_makes_no_host_call() {
    for connection in [plaintext(), mutual_tls()] {
        let mut sidecar = Sidecar::start("{}").unwrap();
        let accepted = sidecar.connect(&connection).unwrap();
        let before = sidecar.vm.tally();
        for _ in 0..100 {
            sidecar.vm.data(accepted, &[0; 16_384]).unwrap();
            sidecar.vm.upstream(accepted, 16_384).unwrap();
        }
        let cost = sidecar.vm.tally().since(&before);
        assert_eq!(cost.entries, counts(&[("proxy_on_downstream_data", 100)]));
        assert_eq!(cost.calls, counts(&[]));
        assert_eq!(cost.allocations, 0);
    }
}

#[test]
fn a_warm_request_never_grows_the_memory() {
    for connection in [plaintext(), mutual_tls()] {
        let mut sidecar = Sidecar::start("{}").unwrap();
        let accepted = sidecar.connect(&connection).unwrap();
        let request = Request::get("curl/8.5");
        for _ in 0..10 {
            sidecar.ask(accepted, &request).unwrap();
        }
        let before = sidecar.vm.tally().memory;
        for _ in 0..20_000 {
            sidecar.ask(accepted, &request).unwrap();
        }
        assert_eq!(sidecar.vm.tally().memory, before);
    }
}

#[test]
fn the_cost_of_a_request_does_not_depend_on_the_number_of_callers_and_connections() {
    let alone = warm_request("{}", &plaintext());
    let mut sidecar = Sidecar::start("{}").unwrap();
    for caller in 0..1_000 {
        let source = format!("10.2.{}.{}:40000", caller / 250, caller % 250);
        sidecar
            .connect(&Connection::plaintext(&source, HERE))
            .unwrap();
    }
    let accepted = sidecar.connect(&mutual_tls()).unwrap();
    sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    let known = Connection::plaintext("10.2.0.7:40001", HERE);
    let accepted = sidecar.connect(&known).unwrap();
    for _ in 0..2 {
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    }
    let before = sidecar.vm.tally();
    sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    let among_many = sidecar.vm.tally().since(&before);
    assert_eq!(among_many.calls, alone.calls);
    assert_eq!(among_many.entries, alone.entries);
    assert_eq!(among_many.allocations, alone.allocations);
}

#[test]
fn a_thousand_callers_and_ten_thousand_connections_fit_into_four_mebibytes() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    for connection in 0..10_000 {
        let caller = connection % 1_000;
        let source = format!("10.2.{}.{}:40000", caller / 250, caller % 250);
        let accepted = sidecar
            .connect(&Connection::plaintext(&source, HERE))
            .unwrap();
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    }
    let memory = sidecar.vm.tally().memory;
    println!("1,000 callers, 10,000 open connections: {memory} bytes of linear memory");
    assert!(memory <= 4 * MIB, "{memory} bytes");
    let scrape = sidecar.scrape().unwrap();
    let connections = "plainsight_connections_total";
    assert_eq!(scrape.matching(connections, &[]).len(), 1_000);
    assert_eq!(scrape.sum(connections, &[("source_ip", "10.2.3.249")]), 10);
}

/// Opens and closes `connections` connections with one request each, at most 100 of them open concurrently.
fn churn(sidecar: &mut Sidecar, connections: u32) {
    let mut open = std::collections::VecDeque::new();
    for number in 0..connections {
        let source = format!("10.3.{}.{}:40000", number % 4, number % 250);
        let connection = match number % 3 {
            0 => Connection::mutual_tls(&source, HERE, SAN),
            1 => Connection::plaintext(&source, HERE),
            _ => Connection::tls_without_certificate(&source, HERE),
        };
        let accepted = sidecar.connect(&connection).unwrap();
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
        open.push_back(accepted);
        if open.len() == 100 {
            let oldest = open.pop_front().unwrap();
            sidecar.vm.close(oldest).unwrap();
        }
        if number % 1_000 == 0 {
            sidecar.tick_after(5).unwrap();
        }
    }
    for accepted in open {
        sidecar.vm.close(accepted).unwrap();
    }
}

#[test]
fn memory_is_flat_while_a_hundred_thousand_connections_come_and_go() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    churn(&mut sidecar, 10_000);
    let before = sidecar.vm.tally().memory;
    churn(&mut sidecar, 100_000);
    assert_eq!(sidecar.vm.tally().memory, before);
    println!(
        "100,000 connections opened and closed: {before} bytes of linear memory before and after"
    );
    sidecar.vm.tick().unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum("plainsight_connections_total", &[]), 110_000);
    assert_eq!(scrape.sum("plainsight_requests_total", &[]), 110_000);
    assert_eq!(scrape.sum("plainsight_attribute_errors_total", &[]), 0);
}

#[test]
fn a_closed_connection_leaves_nothing_behind() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let mut open = Vec::new();
    for _ in 0..1_000 {
        open.push(sidecar.connect(&plaintext()).unwrap());
    }
    for accepted in open {
        sidecar.vm.close(accepted).unwrap();
    }
    // The ids are reused by mutual TLS connections that the NETWORK plugin does not see.
    for id in 0_u64..1_000 {
        let mut again = mutual_tls().with(&["connection", "id"], id.to_le_bytes());
        again.facts.extend(&again.after_handshake.clone());
        let accepted = sidecar.vm.accept(&again);
        let exchange = sidecar
            .vm
            .request(sidecar.http, accepted, &Request::get("curl"))
            .unwrap();
        let header = exchange.values("x-plainsight-peer").concat();
        assert!(header.starts_with("mutual_tls;"), "{id}: {header}");
    }
}
