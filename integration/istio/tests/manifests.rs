//! What can be said of the manifests without Istio's programs: `make lint-istio`.

use std::collections::BTreeSet;
use std::path::Path;

use plainsight::metrics::LABELS;
use plainsight::settings::KEYS;
use plainsight_istio_test::kubernetes::documents;
use plainsight_istio_test::repository::{manifest, manifests, root};
use serde_json::Value;

const PLUGINS: [&str; 4] = [
    "wasmplugin/network.yaml",
    "wasmplugin/http.yaml",
    "trafficextension/network.yaml",
    "trafficextension/http.yaml",
];

fn only(name: &str) -> Value {
    let mut objects = documents(&manifest(name).unwrap()).unwrap();
    assert_eq!(objects.len(), 1, "{name}: one object");
    objects.remove(0)
}

/// The part of a plugin's manifest that both kinds have in common.
fn wasm(object: &Value) -> &Value {
    if object["kind"] == "TrafficExtension" {
        &object["spec"]["wasm"]
    } else {
        &object["spec"]
    }
}

/// `pluginConfig` as it would be with every commented key in force.
fn uncommented_configuration(text: &str) -> Value {
    let (_, block) = text.split_once("pluginConfig:\n").expect("no pluginConfig");
    let yaml: String = block
        .lines()
        .map(|line| line.trim_start())
        .filter(|line| {
            !line.starts_with("# ")
                || line
                    .trim_start_matches(['#', ' ', '-'])
                    .split_once(':')
                    .is_some_and(|(key, _)| !key.contains(' '))
        })
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    serde_yaml_ng::from_str(&yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"))
}

#[test]
fn every_manifest_is_yaml_with_a_kind() {
    let names = manifests().unwrap();
    assert!(names.len() > 15, "{names:?}");
    for name in names
        .iter()
        .filter(|name| !name.starts_with("native-labels/"))
    {
        for object in documents(&manifest(name).unwrap()).unwrap() {
            assert!(
                object["kind"].is_string() && object["apiVersion"].is_string(),
                "{name}"
            );
        }
    }
}

#[test]
fn every_plugin_shows_every_key_of_the_configuration_and_no_other() {
    let keys: BTreeSet<&str> = KEYS.iter().map(|(key, ..)| *key).collect();
    for name in PLUGINS {
        let shown = uncommented_configuration(&manifest(name).unwrap());
        let shown: BTreeSet<&str> = shown
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(shown, keys, "{name}");
    }
}

#[test]
fn the_filter_takes_the_configuration_that_the_comments_show() {
    for name in PLUGINS {
        let mut shown = uncommented_configuration(&manifest(name).unwrap());
        // Off by default, and needed by `deprecation`.
        shown["responseHeader"] = "x-plainsight-peer".into();
        let (_, problems) = plainsight::settings::Settings::parse(shown.to_string().as_bytes());
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
}

#[test]
fn both_kinds_of_manifest_say_the_same() {
    for name in ["network", "http"] {
        let (plugin, extension) = (
            only(&format!("wasmplugin/{name}.yaml")),
            only(&format!("trafficextension/{name}.yaml")),
        );
        let mut of_plugin = plugin["spec"].as_object().unwrap().clone();
        for key in ["match", "phase"] {
            assert_eq!(
                of_plugin.remove(key).unwrap_or_default(),
                extension["spec"][key],
                "{name}: {key}"
            );
        }
        assert_eq!(
            Value::Object(of_plugin),
            extension["spec"]["wasm"],
            "{name}"
        );
        assert_eq!(plugin["metadata"], extension["metadata"], "{name}");
    }
}

#[test]
fn every_plugin_is_inbound_without_ports_fails_open_and_names_its_image_by_digest() {
    for name in PLUGINS {
        let object = only(name);
        assert_eq!(
            object["spec"]["match"],
            serde_json::json!([{"mode": "SERVER"}]),
            "{name}"
        );
        let wasm = wasm(&object);
        assert_eq!(wasm["failStrategy"], "FAIL_OPEN", "{name}");
        let url = wasm["url"].as_str().unwrap();
        let digest = url
            .rsplit_once("@sha256:")
            .unwrap_or_else(|| panic!("{name}: {url}"))
            .1;
        assert!(
            url.starts_with("oci://") && digest.len() == 64,
            "{name}: {url}"
        );
        let phase = object["spec"]["phase"].as_str();
        match wasm["type"].as_str().unwrap() {
            "HTTP" => assert_eq!(phase, Some("AUTHN"), "{name}"),
            kind => assert_eq!((kind, phase), ("NETWORK", None), "{name}"),
        }
    }
}

#[test]
fn every_file_that_a_kustomization_names_is_there() {
    for name in manifests()
        .unwrap()
        .iter()
        .filter(|name| name.ends_with("kustomization.yaml"))
    {
        let kustomization = only(name);
        let folder = root()
            .join("envoy-config/istio")
            .join(Path::new(name).parent().unwrap());
        let resources = kustomization["resources"].as_array().unwrap();
        assert!(!resources.is_empty(), "{name}");
        for resource in resources {
            assert!(
                folder.join(resource.as_str().unwrap()).exists(),
                "{name}: {resource}"
            );
        }
        for patch in kustomization["patches"].as_array().unwrap_or(&Vec::new()) {
            let operations: Vec<Value> =
                serde_yaml_ng::from_str(patch["patch"].as_str().unwrap()).unwrap();
            assert!(
                operations
                    .iter()
                    .all(|operation| operation["path"].is_string()),
                "{name}"
            );
        }
    }
}

#[test]
fn the_lists_for_native_labels_are_the_filters_own() {
    let labels: Vec<&str> = LABELS.iter().map(|(_, name, _)| *name).collect();
    let mesh: Value =
        serde_yaml_ng::from_str(&manifest("native-labels/mesh-values.yaml").unwrap()).unwrap();
    assert_eq!(
        mesh["meshConfig"]["defaultConfig"]["extraStatTags"],
        serde_json::json!(labels)
    );
    let pod: Value =
        serde_yaml_ng::from_str(&manifest("native-labels/pod-annotation.yaml").unwrap()).unwrap();
    let annotation = pod["spec"]["template"]["metadata"]["annotations"]["proxy.istio.io/config"]
        .as_str()
        .unwrap();
    let annotation: Value = serde_yaml_ng::from_str(annotation).unwrap();
    assert_eq!(annotation, serde_json::json!({"extraStatTags": labels}));
}

#[test]
fn the_scrape_keeps_what_the_rules_need() {
    let monitor = only("podmonitor.yaml");
    let relabelings = &monitor["spec"]["podMetricsEndpoints"][0]["metricRelabelings"];
    assert_eq!(relabelings[0]["action"], "keep");
    let kept: Vec<&str> = relabelings[0]["regex"]
        .as_str()
        .unwrap()
        .split('|')
        .collect();
    assert_eq!(
        kept,
        [
            "plainsight_.*",
            "istio_requests_total",
            "istio_tcp_connections_opened_total"
        ]
    );
}

#[test]
fn the_exception_excepts_the_port_that_the_manifests_comments_name() {
    let exception = only("peer-authentication/3-workload-strict-except-port.yaml");
    let ports: Vec<&String> = exception["spec"]["portLevelMtls"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    for name in PLUGINS {
        let shown = uncommented_configuration(&manifest(name).unwrap());
        let exempt: Vec<String> = shown["exemptPorts"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        assert_eq!(ports, exempt.iter().collect::<Vec<_>>(), "{name}");
    }
}
