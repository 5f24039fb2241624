//! The chart, rendered and installed by Helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The chart's folder.
pub fn folder() -> PathBuf {
    root().join("envoy-config/chart")
}

/// An image that the chart accepts and no registry has.
pub fn any_image() -> Value {
    json!({
        "repository": "registry.example.com/plainsight",
        "digest": format!("sha256:{}", "1".repeat(64)),
    })
}

/// The plugins alone, as a mesh without monitoring gets them.
pub fn plugins(mut values: Value) -> anyhow::Result<String> {
    values["prometheus"] = json!({"enabled": false});
    values["grafana"] = json!({"enabled": false});
    render(&folder(), &values)
}

/// Everything that `helm install plainsight CHART --namespace monitoring` applies with these values.
///
/// # Errors
/// Helm refuses them; the message is Helm's.
pub fn render(chart: &Path, values: &Value) -> anyhow::Result<String> {
    let helm = std::env::var_os("PLAINSIGHT_HELM")
        .context("PLAINSIGHT_HELM: not set: run make test-cluster ONLY=chart")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string())?;
    let output = Command::new(helm)
        .args(["template", "plainsight"])
        .arg(chart)
        .args(["--namespace", "monitoring", "--values"])
        .arg(&file)
        .output()
        .context("helm: cannot be run")?;
    ensure!(
        output.status.success(),
        "helm: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a manifest.
///
/// # Errors
/// No YAML.
pub fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let object =
            Value::deserialize(document).with_context(|| format!("manifest: no YAML: {yaml}"))?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Installs the chart as the release `plainsight` in the namespace `monitoring`.
///
/// # Errors
/// Helm or the API refuses it.
pub async fn install(cluster: &Cluster, values: &Value) -> anyhow::Result<()> {
    let file = cluster.folder().join("chart.json");
    std::fs::write(&file, values.to_string())?;
    let (chart, file) = (folder().display().to_string(), file.display().to_string());
    let release = ["install", "plainsight", &chart];
    let arguments = [&release[..], &["-n", "monitoring", "-f", &file]].concat();
    cluster.helm(&arguments).await.map(drop)
}
