//! Plugins and their configurations.

use super::*;

#[test]
fn a_context_of_an_unknown_plugin_is_one_error_and_the_forged_header_is_replaced() {
    let mut vm = Vm::configured("{}");
    let headers = &mut vm.host().request_headers;
    headers.insert("x-plainsight-peer".into(), "forged".into());
    vm.on_context_create(9, 77);
    vm.on_request_headers(9);
    assert_eq!(vm.peer_header(), "unknown");
    assert_eq!(vm.host().attribute_errors(Attribute::PLUGIN_CONTEXT), 1);
}

#[test]
fn many_plugins_are_served() {
    let mut vm = Vm::configured("{}");
    for plugin in 1_000..1_300 {
        vm.configure(plugin, "{}");
    }
    vm.connect(2, "10.0.0.7:1", HTTP);
    assert_eq!(vm.sum(CONNECTIONS), 1);
}

#[test]
fn a_fault_in_both_plugins_counts_once_and_a_retired_plugin_s_not_at_all() {
    let mut vm = Vm::configured(r#"{"a":1,"b":2}"#);
    vm.configure(2, r#"{"b":2,"c":3}"#);
    assert_eq!(vm.sum(CONFIG_ERRORS), 3);
    vm.configure(3, "{}");
    for _ in 0..7 {
        vm.on_tick(1);
        vm.on_tick(3);
    }
    assert_eq!(vm.sum(CONFIG_ERRORS), 2, "plugin 2 stopped ticking");
    assert_eq!(logged().len(), 3);
}

#[test]
fn at_most_ten_problems_are_logged_and_then_the_number_of_the_rest() {
    let keys: Vec<_> = (0..60).map(|key| format!("\"k{key}\":1")).collect();
    let json = format!("{{{}}}", keys.join(","));
    let mut vm = Vm::configured(&json);
    vm.configure(2, &json);
    assert_eq!(vm.sum(CONFIG_ERRORS), 60);
    let lines = logged();
    assert_eq!(lines.len(), 11, "{lines:?}");
    assert_eq!(
        lines[10],
        "ERROR 50 more configuration problems are not logged"
    );
}

#[test]
fn an_unreadable_configuration_is_a_problem() {
    let mut vm = Vm::configured("{}");
    vm.host().fail("plugin_configuration", Status(10));
    vm.configure(1, r#"{"logCallers":false}"#);
    assert_eq!(vm.sum(CONFIG_ERRORS), 1);
    vm.host().succeed("plugin_configuration");
    vm.configure(1, "");
    assert_eq!(vm.sum(CONFIG_ERRORS), 0, "an empty one is read again");
}

#[test]
fn the_overflow_counter_is_there_from_the_start() {
    let mut vm = Vm::configured("{}");
    assert_eq!(vm.host().series("plainsight_overflow_total"), [("", 0)]);
}

#[test]
fn every_plugin_has_a_timer() {
    let mut vm = Vm::configured("{}");
    vm.configure(2, "{}");
    assert_eq!(vm.host().count("tick_every"), 2);
}
