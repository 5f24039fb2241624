//! What the demo prints is what its callers did.

use std::process::Output;

use crate::demo;

/// A line's words, columns being two or more spaces apart.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// The demo says so when it takes other ports; the text with the documented ones put back.
fn with_documented_ports(output: &str) -> String {
    let mut text = output.to_owned();
    let replaced = output
        .lines()
        .find_map(|line| line.split_once(", and others instead: "));
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
fn the_table_shows_what_each_caller_did_and_the_answer_counts_them() {
    let text = with_documented_ports(&assert_succeeded(&demo().output().unwrap()));
    let rows: Vec<Vec<&str>> = text.lines().map(cells).collect();

    // Destination, port, caller, protocol, verdict, connections, requests; then when.
    let breaks = [
        [
            "shop/orders",
            "7000",
            "127.0.0.25",
            "TLS of its own",
            "BREAKS",
            "1",
            "-",
        ],
        [
            "shop/orders",
            "7777",
            "127.0.0.21",
            "plaintext HTTP",
            "BREAKS",
            "1",
            "1",
        ],
        [
            "shop/orders",
            "8080",
            "127.0.0.21",
            "plaintext HTTP",
            "BREAKS",
            "3",
            "3",
        ],
        [
            "shop/orders",
            "8080",
            "127.0.0.22",
            "plaintext HTTP (probe)",
            "BREAKS",
            "4",
            "4",
        ],
        [
            "shop/orders",
            "8080",
            "127.0.0.23",
            "plaintext HTTP (scrape)",
            "BREAKS",
            "1",
            "2",
        ],
        [
            "shop/orders",
            "9000",
            "ledger-vms (127.0.0.65)",
            "plaintext TCP",
            "BREAKS",
            "2",
            "-",
        ],
    ];
    for expected in &breaks {
        let row = rows.iter().find(|row| row.starts_with(expected));
        let row = row.unwrap_or_else(|| panic!("{expected:?}: no such row in:\n{text}"));
        assert!(row.len() == 8 && row[7].ends_with(" s ago"), "{row:?}");
    }
    assert_eq!(
        rows.iter().filter(|row| row.contains(&"BREAKS")).count(),
        breaks.len(),
        "{text}"
    );

    // How many connections the client's sidecar keeps is its own affair. Rows are in the order of their ports, which
    // may not be the documented ones.
    let storefront = "spiffe://cluster.local/ns/shop/sa/storefront";
    let works = [
        ["8080", "mutual TLS, HTTP", "5"],
        ["9000", "mutual TLS, TCP", "-"],
    ];
    for [port, protocol, requests] in works {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&["shop/orders", port, storefront]));
        let row = row.unwrap_or_else(|| panic!("{port}: no row for {storefront} in:\n{text}"));
        assert_eq!(row[3..5], [protocol, "works"], "{text}");
        assert_eq!(row[6..], [requests, "-"], "{text}");
    }
    assert_eq!(
        rows.iter().filter(|row| row.contains(&"works")).count(),
        works.len(),
        "{text}"
    );

    assert!(
        text.contains("\n5 of 6 callers would break under STRICT.\n"),
        "{text}"
    );

    let named = [
        [
            "billing/legacy-cron",
            "CronJob",
            "shop/orders",
            "7777",
            "plaintext",
            "app",
        ],
        [
            "billing/legacy-cron",
            "CronJob",
            "shop/orders",
            "8080",
            "plaintext",
            "app",
        ],
        [
            "finance/reports",
            "Deployment",
            "shop/orders",
            "7000",
            "tls_passthrough",
            "app",
        ],
        [
            "ledger-vms",
            "Range",
            "shop/orders",
            "9000",
            "plaintext",
            "app",
        ],
        [
            "monitoring/prometheus",
            "StatefulSet",
            "shop/orders",
            "8080",
            "plaintext",
            "scrape",
        ],
        [
            "node-1",
            "Node",
            "shop/orders",
            "8080",
            "plaintext",
            "probe",
        ],
    ];
    for expected in &named {
        assert!(
            rows.iter().any(|row| row == expected),
            "{expected:?}: no such row in:\n{text}"
        );
    }
    let sentence = "\nSTRICT would break 5 callers: billing/legacy-cron, finance/reports, ledger-vms, \
                    monitoring/prometheus, node-1.\n";
    assert!(text.contains(sentence), "{text}");
}
