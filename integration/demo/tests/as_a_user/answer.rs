//! The demo's output equals the calls of its callers.

use std::process::Output;

use crate::demo;

/// The columns of a line, which are separated by two or more spaces.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// The output with documented ports, in case the demo reports that it uses others.
fn with_documented_ports(output: &str) -> String {
    let mut text = output.to_owned();
    let replaced = output
        .lines()
        .find_map(|line| line.split_once(", replaced by others: "));
    for (documented, taken) in replaced
        .iter()
        .flat_map(|(_, pairs)| pairs.split(", "))
        .filter_map(|pair| pair.split_once(" -> "))
    {
        text = text.replace(&format!("  {taken}  "), &format!("  {documented}  "));
    }
    text
}

fn assert_succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{errors}",
        output.status
    );
    text
}

#[test]
fn the_command_shows_the_calls_of_each_caller_and_which_callers_would_break() {
    let text = with_documented_ports(&assert_succeeded(&demo().output().unwrap()));
    let rows: Vec<Vec<&str>> = text.lines().map(cells).collect();
    let has = |expected: &[&str]| rows.iter().any(|row| row.starts_with(expected));

    // `peek`: destination, port, caller, protocol, verdict, connections, requests.
    let peeked = [
        ["7000", "127.0.0.25", "TLS of its own", "BREAKS", "1", "-"],
        ["7777", "127.0.0.21", "plaintext HTTP", "BREAKS", "1", "1"],
        ["8080", "127.0.0.21", "plaintext HTTP", "BREAKS", "3", "3"],
        [
            "8080",
            "127.0.0.22",
            "plaintext HTTP (probe)",
            "BREAKS",
            "4",
            "4",
        ],
        [
            "8080",
            "127.0.0.23",
            "plaintext HTTP (scrape)",
            "BREAKS",
            "1",
            "2",
        ],
        [
            "9000",
            "ledger-vms (127.0.0.65)",
            "plaintext TCP",
            "BREAKS",
            "2",
            "-",
        ],
    ];
    for expected in peeked {
        let expected = [&["shop/orders"][..], &expected].concat();
        assert!(has(&expected), "{expected:?}: no such row in:\n{text}");
    }
    let storefront = "spiffe://cluster.local/ns/shop/sa/storefront";
    for port in ["8080", "9000"] {
        assert!(has(&["shop/orders", port, storefront]), "{port}: {text}");
    }
    assert!(
        text.contains("5 of 6 callers would break under STRICT"),
        "{text}"
    );

    // `report`: namespace, mode, decision, callers.
    assert!(has(&["shop", "unknown", "not yet", "5"]), "{text}");

    // `explain`: workload, port, caller, kind.
    let explained = [
        ["7000", "finance/reports", "Deployment", "TLS of its own"],
        ["7777", "billing/legacy-cron", "CronJob", "plaintext"],
        ["8080", "billing/legacy-cron", "CronJob", "plaintext"],
        ["8080", "monitoring/prometheus", "StatefulSet", "plaintext"],
        ["8080", "node-1 (127.0.0.22)", "Node", "plaintext"],
        ["9000", "ledger-vms (127.0.0.65)", "Range", "plaintext"],
    ];
    for expected in explained {
        let expected = [&["orders"][..], &expected].concat();
        assert!(has(&expected), "{expected:?}: no such row in:\n{text}");
    }
}
