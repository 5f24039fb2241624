//! Istio's own judgement of the manifests: `istioctl validate` and `istioctl analyze`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plainsight_istio_test::program::{istio, kustomize};
use plainsight_istio_test::repository::{manifest, manifests, root};

fn istioctl(arguments: &[&str], file: &Path) -> Output {
    let binary = istio("istioctl").unwrap_or_else(|error| panic!("{error:#}"));
    Command::new(binary)
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("manifest.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Everything that people apply: plain files, and what Kustomize makes of the overlays.
fn applied() -> Vec<(String, String)> {
    let mut all: Vec<_> = manifests()
        .unwrap()
        .into_iter()
        .filter(|name| !name.ends_with("kustomization.yaml") && !name.starts_with("native-labels/"))
        .map(|name| (name.clone(), manifest(&name).unwrap()))
        .collect();
    for overlay in ["workload", "namespace", "mesh"] {
        let folder = root().join("envoy-config/istio/overlays").join(overlay);
        all.push((
            overlay.to_owned(),
            kustomize(&folder).unwrap_or_else(|error| panic!("{error:#}")),
        ));
    }
    all
}

#[test]
fn istio_accepts_every_manifest() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in applied() {
        let output = istioctl(&["validate", "-f"], &written(&folder, &text));
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert!(
            !said(&output).contains("Warning"),
            "{name}: {}",
            said(&output)
        );
    }
}

#[test]
fn istio_finds_nothing_to_say_about_any_manifest() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in applied() {
        let output = istioctl(
            &["analyze", "--use-kube=false", "--failure-threshold=Info"],
            &written(&folder, &text),
        );
        let said = said(&output);
        // Without a cluster there is no workload that a selector could select, and no namespace that is injected.
        let remarks: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("Error") || line.starts_with("Warning"))
            .filter(|line| !line.contains("IST0127") && !line.contains("IST0101"))
            .collect();
        assert!(remarks.is_empty(), "{name}: {remarks:?}");
    }
}

#[test]
fn istio_refuses_manifests_that_are_broken_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let broken = [
        (
            "wasmplugin/http.yaml",
            "phase: AUTHN",
            "phase: BEFORE",
            "BEFORE",
        ),
        (
            "wasmplugin/http.yaml",
            "mode: SERVER",
            "mode: INBOUND",
            "INBOUND",
        ),
        (
            "wasmplugin/network.yaml",
            "type: NETWORK",
            "type: TCP",
            "TCP",
        ),
        (
            "wasmplugin/network.yaml",
            "failStrategy: FAIL_OPEN",
            "failStrategy: IGNORE",
            "IGNORE",
        ),
        (
            "wasmplugin/network.yaml",
            "pluginName:",
            "plugin_nam:",
            "plugin_nam",
        ),
        (
            "wasmplugin/network.yaml",
            "url: oci://",
            "url: ftp://",
            "ftp",
        ),
        (
            "trafficextension/network.yaml",
            "type: NETWORK",
            "type: TCP",
            "TCP",
        ),
        (
            "trafficextension/http.yaml",
            "phase: AUTHN",
            "phase: BEFORE",
            "BEFORE",
        ),
        (
            "trafficextension/http.yaml",
            "  wasm:\n",
            "  wasn:\n",
            "wasn",
        ),
        (
            "peer-authentication/2-workload-strict.yaml",
            "STRICT",
            "STRIKT",
            "STRIKT",
        ),
        (
            "peer-authentication/3-workload-strict-except-port.yaml",
            "    9000:",
            "    99000:",
            "port",
        ),
        (
            "peer-authentication/3-workload-strict-except-port.yaml",
            "matchLabels:\n      app: checkout",
            "matchLabels: {}",
            "selector",
        ),
    ];
    for (name, from, to, word) in broken {
        let text = manifest(name).unwrap();
        assert!(text.contains(from), "{name}: no {from:?} to break");
        let output = istioctl(
            &["validate", "-f"],
            &written(&folder, &text.replace(from, to)),
        );
        let said = said(&output);
        assert!(!output.status.success(), "{name}: {to}: accepted: {said}");
        assert!(
            said.contains(word),
            "{name}: {to}: refused for another reason: {said}"
        );
    }
}
