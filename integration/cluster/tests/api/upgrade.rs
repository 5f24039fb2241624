//! `helm install`, `helm upgrade` from one set of values to another, and `helm uninstall`, on the real API.

use std::collections::BTreeSet;

use anyhow::ensure;
use plainsight_cluster::chart::{any_image, folder};
use plainsight_cluster::cluster::Cluster;
use serde_json::{Value, json};

use crate::validation;

const RELEASE: &str = "plainsight";
const NAMESPACE: &str = "monitoring";
/// What the chart can make.
const KINDS: &str = "wasmplugins,trafficextensions,podmonitors,prometheusrules,configmaps,clusterroles,clusterrolebindings,roles,rolebindings";

pub async fn each_upgrade_adds_and_removes_exactly_what_the_values_say(cluster: &Cluster) {
    let outcome = upgrades(cluster).await;
    let _ = cluster.helm(&["uninstall", RELEASE, "-n", NAMESPACE]).await;
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

fn plugins(kind: &str, namespaces: &[&str]) -> Vec<String> {
    let names = ["plainsight-network", "plainsight-http"];
    let each = |namespace: &&str| names.map(|name| format!("{kind} {namespace}/{name}"));
    namespaces.iter().flat_map(each).collect()
}

async fn upgrades(cluster: &Cluster) -> anyhow::Result<()> {
    validation::prepare(cluster).await?;
    let monitoring = [
        "PodMonitor monitoring/plainsight",
        "PrometheusRule monitoring/plainsight",
    ];
    let monitoring = monitoring.map(str::to_owned).to_vec();
    let none = json!({"enabled": false});
    let alone = |values: Value| with(with(values, "prometheus", &none), "grafana", &none);
    let canary = json!({"namespaces": ["shop"], "workload": {"matchLabels": {"app": "checkout"}}});
    let steps: Vec<(&str, Value, Vec<String>)> = vec![
        ("canary", alone(canary), plugins("WasmPlugin", &["shop"])),
        (
            "namespaces",
            alone(json!({"namespaces": ["shop", "pay"]})),
            plugins("WasmPlugin", &["shop", "pay"]),
        ),
        (
            "mesh with Prometheus",
            with(json!({}), "grafana", &none),
            [plugins("WasmPlugin", &["istio-system"]), monitoring.clone()].concat(),
        ),
        (
            "mesh by TrafficExtension",
            with(json!({"api": "TrafficExtension"}), "grafana", &none),
            [plugins("TrafficExtension", &["istio-system"]), monitoring].concat(),
        ),
        (
            "back to a namespace",
            alone(json!({"namespaces": ["shop"]})),
            plugins("WasmPlugin", &["shop"]),
        ),
    ];
    let values_file = tempfile::NamedTempFile::new()?;
    let (chart, file) = (
        folder().display().to_string(),
        values_file.path().display().to_string(),
    );
    for (number, (name, values, wanted)) in steps.into_iter().enumerate() {
        std::fs::write(&file, with(values, "image", &any_image()).to_string())?;
        let verb = if number == 0 { "install" } else { "upgrade" };
        let arguments = [verb, RELEASE, &chart, "-n", NAMESPACE, "-f", &file];
        cluster.helm(&arguments).await?;
        let (found, wanted) = (objects(cluster).await?, BTreeSet::from_iter(wanted));
        ensure!(found == wanted, "{name}: {found:#?}, expected {wanted:#?}");
    }
    // A second release would count every connection twice.
    let second = ["install", "second", &chart, "-n", NAMESPACE, "-f", &file];
    let refusal = cluster.helm(&second).await;
    ensure!(
        refusal.is_err(),
        "a second release was installed beside the first"
    );
    cluster
        .helm(&["uninstall", RELEASE, "-n", NAMESPACE])
        .await?;
    let left = objects(cluster).await?;
    ensure!(left.is_empty(), "left after the removal: {left:#?}");
    Ok(())
}

fn with(mut values: Value, key: &str, value: &Value) -> Value {
    values[key] = value.clone();
    values
}

/// Everything that carries the chart's label.
async fn objects(cluster: &Cluster) -> anyhow::Result<BTreeSet<String>> {
    let list = cluster
        .get(&[KINDS, "-A", "-l", "app.kubernetes.io/name=plainsight"])
        .await?;
    let items = list["items"].as_array().into_iter().flatten();
    let text = |item: &Value, pointer: &str| {
        let text = item.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let name = |item: &Value| {
        let [kind, namespace, name] =
            ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| text(item, pointer));
        format!("{kind} {namespace}/{name}")
    };
    Ok(items.map(name).collect())
}
