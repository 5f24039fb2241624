//! Istio's own verdict on the rendered chart: `istioctl validate` and `istioctl analyze`.

use std::path::Path;
use std::process::{Command, Output};

use plainsight_cluster::chart::root;
use plainsight_cluster::program::program;
use plainsight_cluster::strict;

const SETS: [&str; 5] = [
    "canary",
    "namespace",
    "mesh",
    "traffic-extension",
    "configured",
];

fn istioctl(arguments: &[&str], yaml: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.yaml");
    std::fs::write(&file, yaml).unwrap();
    let binary = program("istioctl").unwrap_or_else(|error| panic!("{error:#}"));
    let output = Command::new(binary)
        .args(arguments)
        .arg(Path::new(&file))
        .output()
        .unwrap();
    let message = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, message)
}

/// The golden files: tests/chart.rs proves that the chart renders to them.
fn rendered() -> Vec<(&'static str, String)> {
    let golden = |set| root().join(format!("integration/cluster/charts/{set}.golden.yaml"));
    SETS.iter()
        .map(|set| (*set, std::fs::read_to_string(golden(set)).unwrap()))
        .chain([
            (
                "strict, except a port",
                strict::workload_except_port("shop"),
            ),
            ("strict", strict::namespace("shop")),
        ])
        .collect()
}

fn one(name: &str) -> String {
    let all = rendered();
    all.into_iter().find(|(set, _)| *set == name).unwrap().1
}

#[test]
fn istio_accepts_every_rendered_set() {
    for (name, text) in rendered() {
        let (output, message) = istioctl(&["validate", "-f"], &text);
        assert!(output.status.success(), "{name}: {message}");
        assert!(!message.contains("Warning"), "{name}: {message}");
    }
}

#[test]
fn istio_has_no_remarks_on_any_rendered_set() {
    for (name, text) in rendered() {
        let (_, message) = istioctl(
            &["analyze", "--use-kube=false", "--failure-threshold=Info"],
            &text,
        );
        // Without a cluster there is no workload that a selector could select, and no namespace that is injected.
        let remarks: Vec<&str> = message
            .lines()
            .filter(|line| line.starts_with("Error") || line.starts_with("Warning"))
            .filter(|line| !line.contains("IST0127") && !line.contains("IST0101"))
            .collect();
        assert!(remarks.is_empty(), "{name}: {remarks:?}");
    }
}

#[test]
fn istio_refuses_what_is_broken_on_purpose() {
    let broken = [
        ("canary", "phase: AUTHN", "phase: BEFORE", "BEFORE"),
        ("canary", "mode: SERVER", "mode: INBOUND", "INBOUND"),
        ("canary", "type: NETWORK", "type: TCP", "TCP"),
        (
            "canary",
            "failStrategy: FAIL_OPEN",
            "failStrategy: IGNORE",
            "IGNORE",
        ),
        ("canary", "pluginName:", "plugin_nam:", "plugin_nam"),
        ("canary", "url: oci://", "url: ftp://", "ftp"),
        ("traffic-extension", "type: NETWORK", "type: TCP", "TCP"),
        (
            "traffic-extension",
            "phase: AUTHN",
            "phase: BEFORE",
            "BEFORE",
        ),
        ("traffic-extension", "  wasm:\n", "  wasn:\n", "wasn"),
        ("strict", "STRICT", "STRIKT", "STRIKT"),
        ("strict, except a port", "    9000:", "    99000:", "port"),
        (
            "strict, except a port",
            "matchLabels: {app: checkout}",
            "matchLabels: {}",
            "selector",
        ),
    ];
    for (name, from, to, word) in broken {
        let text = one(name);
        assert!(text.contains(from), "{name}: no {from:?} to break");
        let (output, message) = istioctl(&["validate", "-f"], &text.replace(from, to));
        assert!(
            !output.status.success(),
            "{name}: {to}: accepted: {message}"
        );
        assert!(
            message.contains(word),
            "{name}: {to}: refused for another reason: {message}"
        );
    }
}
