//! Tests the host itself on small modules in text format: it must behave like Envoy.

use plainsight_wasm_host::{Connection, Interfered, Proxy, Request, Status};

/// A minimal module: the ABI, an allocator with a fixed address, and `callbacks`.
fn module(imports: &str, callbacks: &str) -> String {
    format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
            {callbacks})"#
    )
}

const METRICS: &str = r#"
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $add (param i32 i64) (result i32)))"#;

const PROPERTY: &str =
    r#"(import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))"#;

/// Returns the status of `proxy_get_property` for `connection.mtls` as the action of every new connection.
const ASKS_MTLS: &str = r#"
    (data (i32.const 0) "connection\00mtls")
    (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
        (if (result i32) (call $get (i32.const 0) (i32.const 15) (i32.const 64) (i32.const 68))
            (then (i32.const 100))
            (else (i32.load8_u (i32.load (i32.const 64))))))"#;

fn plaintext() -> Connection {
    Connection::plaintext("10.0.0.7:40000", "10.1.0.1:8080")
}

#[test]
fn absent_callbacks_are_skipped_and_cost_no_entry() {
    let proxy = Proxy::load(module("", "").as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("{}").unwrap();
    assert!(plugin.configured);
    let connection = vm.open(plugin, &plaintext()).unwrap();
    vm.data(connection, b"GET").unwrap();
    let exchange = vm
        .request(plugin, connection, &Request::get("curl"))
        .unwrap();
    vm.bodies(&exchange, 100).unwrap();
    vm.finish(&exchange).unwrap();
    vm.close(connection).unwrap();
    assert_eq!(vm.tally().entered(), 0);
    assert_eq!(vm.tally().memory, 65_536);
}

#[test]
fn a_module_that_envoy_could_not_load_is_rejected() {
    let no_abi = r#"(module (memory (export "memory") 1))"#;
    assert!(Proxy::load(no_abi.as_bytes()).is_err());
    let no_allocator =
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
    assert!(
        Proxy::load(no_allocator.as_bytes())
            .unwrap()
            .worker()
            .is_err()
    );
    for unknown in ["proxy_fly", "proxy_get_shared_data"] {
        let import = format!(r#"(import "env" "{unknown}" (func (param i32)))"#);
        let module = module(&import, "");
        assert!(Proxy::load(module.as_bytes()).unwrap().worker().is_err());
    }
    let wasi = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let wasi = module(wasi, "");
    assert!(Proxy::load(wasi.as_bytes()).unwrap().worker().is_err());
}

#[test]
fn the_first_data_completes_the_handshake_and_bytes_are_returned_through_the_allocator() {
    let proxy = Proxy::load(module(PROPERTY, ASKS_MTLS).as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("").unwrap();
    let plain = vm.open(plugin, &plaintext()).unwrap();
    vm.data(plain, b"x").unwrap();
    assert_eq!(vm.tally().allocations, 1);
    assert_eq!(vm.tally().calls["proxy_get_property"], 1);
    let mutual = Connection::mutual_tls("10.0.0.8:1", "10.1.0.1:8080", "spiffe://a/ns/b/sa/c");
    let mutual = vm.open(plugin, &mutual).unwrap();
    let error = vm.data(mutual, b"x").unwrap_err().to_string();
    assert!(error.ends_with("not Continue (0): 1"), "{error}");
}

#[test]
fn an_answer_can_be_scripted_for_every_call() {
    let proxy = Proxy::load(module(PROPERTY, ASKS_MTLS).as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("").unwrap();
    let connection = vm.open(plugin, &plaintext()).unwrap();
    vm.interfere(Some(Box::new(|_| Some(Interfered::Status(Status(10))))));
    let error = vm.data(connection, b"x").unwrap_err().to_string();
    assert!(error.ends_with(": 100"), "{error}");
    vm.interfere(Some(Box::new(|_| Some(Interfered::Bytes(vec![42])))));
    let error = vm.data(connection, b"x").unwrap_err().to_string();
    assert!(error.ends_with(": 42"), "{error}");
}

#[test]
fn metrics_of_one_name_are_one_metric_over_all_workers_and_the_first_id_is_zero() {
    let counts = r#"
        (data (i32.const 0) "seen")
        (func (export "proxy_on_tick") (param i32) unreachable)
        (func (export "proxy_on_new_connection") (param i32) (result i32)
            (drop (call $define (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64)))
            (drop (call $add (i32.load (i32.const 64)) (i64.const 2)))
            (i32.load (i32.const 64)))"#;
    let proxy = Proxy::load(module(METRICS, counts).as_bytes()).unwrap();
    for _ in 0..3 {
        let mut vm = proxy.worker().unwrap();
        let plugin = vm.plugin("").unwrap();
        vm.open(plugin, &plaintext()).unwrap();
    }
    let metrics = proxy.metrics().snapshot();
    assert_eq!(metrics.len(), 1);
    assert_eq!(
        (metrics[0].1.as_slice(), metrics[0].2),
        (b"seen".as_slice(), 6)
    );
    assert!(proxy.another().metrics().is_empty());
}

#[test]
fn a_counter_rejects_zero_and_negative_increments() {
    let counts = r#"
        (data (i32.const 0) "seen")
        (func (export "proxy_on_new_connection") (param i32) (result i32)
            (drop (call $define (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64)))
            (call $add (i32.load (i32.const 64)) (i64.const 0)))"#;
    let proxy = Proxy::load(module(METRICS, counts).as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("").unwrap();
    let error = vm.open(plugin, &plaintext()).unwrap_err().to_string();
    assert!(error.ends_with(": 2"), "{error}");
}

#[test]
fn a_trap_is_an_error_and_the_vm_is_not_entered_again() {
    let traps = r#"(func (export "proxy_on_new_connection") (param i32) (result i32) unreachable)"#;
    let proxy = Proxy::load(module("", traps).as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("").unwrap();
    assert!(vm.open(plugin, &plaintext()).is_err());
    assert!(vm.trapped());
    assert!(vm.open(plugin, &plaintext()).is_ok());
    assert_eq!(vm.tally().entered(), 1);
}

#[test]
fn headers_are_accessible_only_while_their_callback_runs() {
    let replaces = r#"(import "env" "proxy_replace_header_map_value"
        (func $put (param i32 i32 i32 i32 i32) (result i32)))"#;
    let callbacks = r#"
        (data (i32.const 0) "X-Ayes")
        (func $try (param i32) (result i32)
            (call $put (local.get 0) (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 3)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (call $try (i32.const 0)))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (call $try (i32.const 0)))"#;
    let proxy = Proxy::load(module(replaces, callbacks).as_bytes()).unwrap();
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin("").unwrap();
    let connection = vm.accept(&plaintext());
    let forged = Request::get("curl").header("x-a", "1").header("X-A", "2");
    let exchange = vm.request(plugin, connection, &forged).unwrap();
    assert_eq!(exchange.values("x-a"), ["yes"]);
    let error = vm.response(&exchange, &Vec::new()).unwrap_err().to_string();
    assert!(error.ends_with(": 2"), "{error}");
}

#[test]
fn a_metered_proxy_counts_instructions_and_another_does_not() {
    let loops = r#"
        (func (export "proxy_on_new_connection") (param i32) (result i32) (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))
            (i32.const 0))"#;
    let wasm = module("", loops);
    let mut vm = Proxy::load_metered(wasm.as_bytes())
        .unwrap()
        .worker()
        .unwrap();
    let plugin = vm.plugin("").unwrap();
    let mut instructions = || {
        vm.open(plugin, &plaintext()).unwrap();
        vm.instructions().unwrap()
    };
    // The first entry also compiles.
    let [first, second, third] = [instructions(), instructions(), instructions()];
    assert!(second - first > 1_000, "{first} {second}");
    assert_eq!(third - second, second - first);
    let vm = Proxy::load(wasm.as_bytes()).unwrap().worker().unwrap();
    assert_eq!(vm.instructions(), None);
}
