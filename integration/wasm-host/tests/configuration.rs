//! Configuration problems: the number in force, the number of logged lines, and the cost of a large configuration.

use plainsight_wasm_host::{Connection, Proxy, Sidecar, real_module, real_module_bytes};

const CONFIG_ERRORS: &str = "plainsight_config_errors";
const CONNECTIONS: &str = "plainsight_connections_total";
/// A value, a type and a key.
const THREE_PROBLEMS: &str = r#"{"maxCallers": 0, "exempt": "8080", "nosuch": 1}"#;

/// The gauge after a minute of ticks in each of these VMs: a replaced plugin is detected by missed ticks.
fn in_force(sidecars: &mut [&mut Sidecar]) -> i64 {
    for _ in 0..12 {
        sidecars[0].proxy.advance(5);
        for sidecar in sidecars.iter_mut() {
            sidecar.vm.tick().unwrap();
        }
    }
    sidecars[0].scrape().unwrap().sum(CONFIG_ERRORS, &[])
}

#[test]
fn the_same_problem_in_both_plugins_of_a_vm_counts_once() {
    let mut sidecar = Sidecar::start(THREE_PROBLEMS).unwrap();
    assert!(sidecar.network.configured && sidecar.http.configured);
    assert_eq!(in_force(&mut [&mut sidecar]), 3);
}

#[test]
fn problems_of_different_plugins_add_up() {
    let proxy = real_module().unwrap();
    let mut sidecar = Sidecar::on(proxy, THREE_PROBLEMS).unwrap();
    let other = sidecar
        .vm
        .plugin(r#"{"maxCallers": 0, "elsewhere": 1}"#)
        .unwrap();
    assert!(other.configured);
    // `maxCallers` is the same problem; `elsewhere` is a fourth.
    assert_eq!(in_force(&mut [&mut sidecar]), 4);
    sidecar.vm.retire(other).unwrap();
    assert_eq!(in_force(&mut [&mut sidecar]), 3);
}

#[test]
fn plugins_in_two_vms_do_not_overwrite_each_other() {
    let proxy = real_module().unwrap();
    let other = proxy.worker_of("canary").unwrap();
    let mut valid = Sidecar::in_vm(proxy.clone(), other, "{}").unwrap();
    let mut faulty = Sidecar::on(proxy, THREE_PROBLEMS).unwrap();
    assert_eq!(in_force(&mut [&mut faulty, &mut valid]), 3);
    assert_eq!(in_force(&mut [&mut valid, &mut faulty]), 3);
    valid.reconfigure(r#"{"nosuch": 1, "another": 2}"#).unwrap();
    assert_eq!(in_force(&mut [&mut faulty, &mut valid]), 5);
    faulty.reconfigure("{}").unwrap();
    assert_eq!(in_force(&mut [&mut faulty, &mut valid]), 2);
}

#[test]
fn workers_with_the_same_problems_count_them_once() {
    let proxy = real_module().unwrap();
    let mut first = Sidecar::on(proxy.clone(), THREE_PROBLEMS).unwrap();
    let mut second = Sidecar::on(proxy, THREE_PROBLEMS).unwrap();
    assert_eq!(in_force(&mut [&mut first, &mut second]), 3);
    first.reconfigure("{}").unwrap();
    second.reconfigure("{}").unwrap();
    assert_eq!(in_force(&mut [&mut first, &mut second]), 0);
}

#[test]
fn a_replaced_configuration_takes_its_problems_with_it() {
    let mut sidecar = Sidecar::start("{}").unwrap();
    assert_eq!(in_force(&mut [&mut sidecar]), 0);
    for (configuration, problems) in [
        (THREE_PROBLEMS, 3),
        (THREE_PROBLEMS, 3),
        (r#"{"nosuch": 1}"#, 1),
        ("{}", 0),
    ] {
        sidecar.reconfigure(configuration).unwrap();
        assert_eq!(in_force(&mut [&mut sidecar]), problems, "{configuration}");
    }
}

#[test]
fn vms_that_only_validate_a_configuration_leave_no_problems() {
    let proxy = real_module().unwrap();
    let mut canary = proxy.worker().unwrap();
    assert!(canary.plugin(THREE_PROBLEMS).unwrap().configured);
    // Killed without a callback and without a tick.
    drop(canary);
    let mut worker = Sidecar::on(proxy, "{}").unwrap();
    assert_eq!(in_force(&mut [&mut worker]), 0);
}

#[test]
fn every_problem_is_logged_with_its_path_up_to_ten() {
    let faulty =
        r#"{"exempt": ["http"], "callers": [{"cidr": "10.0.0/8", "name": "x"}], "nosuch": 1}"#;
    let mut sidecar = Sidecar::start(faulty).unwrap();
    let logs = sidecar.vm.take_logs();
    for path in ["exempt[0]: ", "callers[0].cidr: ", "nosuch: "] {
        let found = logs.iter().filter(|(_, line)| line.contains(path)).count();
        assert_eq!(found, 1, "{path}: {logs:?}");
    }
}

#[test]
fn a_vm_logs_at_most_ten_problems_and_the_number_of_the_rest() {
    let mut sidecar = Sidecar::start(&unknown_keys(60)).unwrap();
    let logs = sidecar.vm.take_logs().into_iter();
    let lines: Vec<_> = logs.map(|(_, line)| line).collect();
    assert!(lines.len() <= 11, "{lines:#?}");
    let keys = lines.iter().filter(|line| line.contains("key_")).count();
    assert_eq!(keys, 10, "{lines:#?}");
    assert!(lines.last().unwrap().contains("50"), "{lines:#?}");
    assert_eq!(in_force(&mut [&mut sidecar]), 60);
}

/// A configuration of this many keys that do not exist.
fn unknown_keys(count: u32) -> String {
    let keys: Vec<_> = (0..count).map(|at| format!("\"key_{at:05}\":1")).collect();
    format!("{{{}}}", keys.join(","))
}

#[test]
fn unknown_keys_are_found_in_linear_time() {
    let metered = Proxy::load_metered(&real_module_bytes().unwrap()).unwrap();
    let [few, many] = [10_000, 40_000].map(|count| {
        let sidecar = Sidecar::on(metered.another(), &unknown_keys(count)).unwrap();
        sidecar.vm.instructions().unwrap()
    });
    let ratio = many as f64 / few as f64;
    println!("10,000 keys: {few} instructions, 40,000: {many}, ratio {ratio:.2}");
    assert!(
        ratio < 5.0,
        "10,000 keys: {few}, 40,000: {many}: {ratio:.2} times"
    );
}

#[test]
fn an_ipv4_mapped_block_or_address_counts_as_ipv4() {
    for (block, source) in [
        ("::ffff:10.20.0.0/112", "10.20.0.7:40000"),
        ("::ffff:10.20.0.0/112", "[::ffff:10.20.0.7]:40000"),
        ("10.20.0.0/16", "[::ffff:10.20.0.7]:40000"),
    ] {
        let configuration = format!(r#"{{"callers": [{{"cidr": "{block}", "name": "vms"}}]}}"#);
        let mut sidecar = Sidecar::start(&configuration).unwrap();
        let caller = Connection::plaintext(source, "10.1.0.1:8080");
        sidecar.call(&caller).unwrap();
        let scrape = sidecar.scrape().unwrap();
        let labels = [("source_ip", "10.20.0.7"), ("source_name", "vms")];
        assert_eq!(scrape.sum(CONNECTIONS, &labels), 1, "{block} {source}");
        assert_eq!(in_force(&mut [&mut sidecar]), 0, "{block}");
    }
}
