//! The API server and Istio's webhook accept whatever the chart renders and the documentation names, and refuse it broken.

use std::path::Path;

use anyhow::{Context, ensure};
use plainsight_cluster::chart::{any_image, documents, folder, plugins, render, root};
use plainsight_cluster::cluster::Cluster;
use plainsight_cluster::program::{program, source};
use plainsight_cluster::strict;
use serde_json::{Value, json};

/// Namespaces that the values and the documentation name.
const NAMESPACES: [&str; 6] = [
    "shop",
    "pay",
    "billing",
    "monitoring",
    "istio-config",
    "web",
];

/// The operator's definitions, without an operator.
async fn definitions(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = source("PLAINSIGHT_OPERATOR_SOURCE")?.join("example/prometheus-operator-crd");
    for plural in ["podmonitors", "prometheusrules"] {
        let file = folder.join(format!("monitoring.coreos.com_{plural}.yaml"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        cluster.apply(&text).await?;
        let name = format!("crd/{plural}.monitoring.coreos.com");
        let established = [
            "wait",
            "--for=condition=Established",
            &name,
            "--timeout=180s",
        ];
        cluster.kubectl(&established, "").await?;
    }
    Ok(())
}

/// Everything that a reader of the repository may apply: the chart with each set of values, the documentation's objects.
fn manifests() -> anyhow::Result<Vec<(String, String)>> {
    let charts = root().join("integration/cluster/charts");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&charts)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(set) = name.strip_suffix(".values.yaml") {
            let values: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&path)?)?;
            found.push((set.to_owned(), render(&folder(), &values)?));
        }
    }
    ensure!(
        found.len() >= 5,
        "{}: {} sets of values",
        charts.display(),
        found.len()
    );
    let sets = found.len();
    for file in [
        "README.md",
        "docs/istio.md",
        "docs/runbook.md",
        "docs/command.md",
    ] {
        let text = std::fs::read_to_string(root().join(file))?;
        for (number, block) in text.split("```yaml\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap_or_default();
            if documents(block)?
                .iter()
                .any(|object| object["apiVersion"].is_string())
            {
                found.push((format!("{file}, block {}", number + 1), block.to_owned()));
            }
        }
    }
    ensure!(
        found.len() >= sets + 5,
        "the documentation names {} objects",
        found.len() - sets
    );
    for api in ["WasmPlugin", "TrafficExtension"] {
        let mut image = any_image();
        image["pullSecret"] = "registry".into();
        let values = json!({
            "image": image,
            "api": api,
            "namespaces": ["shop"],
            "workload": {"matchLabels": {"app": "checkout"}},
            "failStrategy": "FAIL_RELOAD",
            "exemptions": [{"port": 9000}],
        });
        found.push((format!("{api} with every field"), plugins(values)?));
    }
    found.push((
        "an exempt port".into(),
        strict::workload_except_port("shop"),
    ));
    found.push(("a strict namespace".into(), strict::namespace("shop")));
    Ok(found)
}

async fn dry_run(cluster: &Cluster, yaml: &str) -> anyhow::Result<String> {
    let arguments = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    cluster.kubectl(&arguments, yaml).await
}

pub async fn the_api_accepts_every_rendering_and_every_documented_object(cluster: &Cluster) {
    accept_all(cluster)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

async fn accept_all(cluster: &Cluster) -> anyhow::Result<()> {
    prepare(cluster).await?;
    let mut problems = Vec::new();
    for (name, text) in manifests()? {
        if let Err(error) = dry_run(cluster, &text).await {
            problems.push(format!("{name}: {error:#}"));
        }
        let of_istio: Vec<String> = documents(&text)?
            .into_iter()
            .filter(|object| {
                object["apiVersion"]
                    .as_str()
                    .is_some_and(|version| version.contains("istio.io"))
            })
            .map(|object| object.to_string())
            .collect();
        problems.extend(
            remarks(cluster, &of_istio.join("\n---\n"))
                .await?
                .map(|remark| format!("{name}: {remark}")),
        );
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

pub async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    for namespace in NAMESPACES {
        let object = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{istio-injection: enabled}}}}}}"
        );
        cluster.apply(&object).await?;
    }
    definitions(cluster).await
}

/// What `istioctl analyze` says of a manifest in the cluster. Nothing runs in the namespaces that it names.
async fn remarks(cluster: &Cluster, yaml: &str) -> anyhow::Result<Option<String>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), yaml)?;
    let mut command = cluster.command(program("istioctl")?);
    let output = command
        .args([
            "analyze",
            "--all-namespaces",
            "--failure-threshold=Info",
            "--output=json",
        ])
        .arg(file.path())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all: Vec<Value> = serde_json::from_str(&text).with_context(|| {
        format!(
            "istioctl analyze: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let own = file.path().display().to_string();
    let found: Vec<String> = all
        .iter()
        .filter(|one| {
            one["reference"]
                .as_str()
                .is_some_and(|place| place.starts_with(&own))
        })
        // A selector without a workload.
        .filter(|one| one["code"] != "IST0127")
        .map(Value::to_string)
        .collect();
    Ok((!found.is_empty()).then(|| found.join("\n")))
}

/// Manifest, what is broken in it, and the word by which the refusal names it.
const BROKEN: [(&str, &str, &str, &str); 16] = [
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
    ("canary", "phase: AUTHN", "phases: AUTHN", "phases"),
    (
        "canary",
        "url: oci://",
        "url: ftp://",
        "url must have schema",
    ),
    ("traffic-extension", "type: NETWORK", "type: TCP", "TCP"),
    (
        "traffic-extension",
        "phase: AUTHN",
        "phase: BEFORE",
        "BEFORE",
    ),
    ("traffic-extension", "  wasm:\n", "  wasn:\n", "wasn"),
    ("a strict namespace", "STRICT", "STRIKT", "STRIKT"),
    ("an exempt port", "    9000:", "    99000:", "port"),
    (
        "an exempt port",
        "matchLabels: {app: checkout}",
        "matchLabels: {}",
        "portLevelMtls requires selector",
    ),
    (
        "mesh",
        "podMetricsEndpoints:",
        "podMetricsEndpoint:",
        "podMetricsEndpoint",
    ),
    ("mesh", "  groups:", "  grops:", "grops"),
    (
        "configured",
        "apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole",
        "apiGroup: rbac\n  kind: ClusterRole",
        "roleRef",
    ),
];

pub async fn the_api_refuses_what_is_broken_on_purpose(cluster: &Cluster) {
    prepare(cluster).await.unwrap();
    let manifests = manifests().unwrap();
    let mut problems = Vec::new();
    for (name, from, to, word) in BROKEN {
        let (_, text) = manifests
            .iter()
            .find(|(other, _)| other == name)
            .expect(name);
        assert!(text.contains(from), "{name}: no {from:?} to break");
        match dry_run(cluster, &text.replace(from, to)).await {
            Ok(_) => problems.push(format!("{name}: {to}: accepted")),
            Err(error) => {
                let message = format!("{error:#}");
                if !message.contains(word) {
                    problems.push(format!(
                        "{name}: {to}: refused for another reason: {message}"
                    ));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub async fn the_oldest_supported_release_knows_the_plugins(cluster: &Cluster) {
    let outcome = with_oldest(cluster).await;
    let newest = source("PLAINSIGHT_ISTIO_SOURCE").unwrap();
    apply_file(
        cluster,
        &newest.join("manifests/charts/base/files/crd-all.gen.yaml"),
    )
    .await
    .unwrap();
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

async fn apply_file(cluster: &Cluster, path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    cluster.apply(&text).await
}

/// Istio 1.27's definitions in place of the newest.
async fn with_oldest(cluster: &Cluster) -> anyhow::Result<()> {
    prepare(cluster).await?;
    let oldest = source("PLAINSIGHT_ISTIO_API_OLDEST")?;
    let oldest = oldest.join("kubernetes/customresourcedefinitions.gen.yaml");
    let text = std::fs::read_to_string(&oldest)?;
    ensure!(
        !text.contains("kind: TrafficExtension"),
        "values.yaml: TrafficExtension is there before 1.30"
    );
    apply_file(cluster, &oldest).await?;
    for (name, manifest) in manifests()? {
        if !manifest.contains("kind: TrafficExtension") {
            dry_run(cluster, &manifest).await.context(name)?;
        }
    }
    Ok(())
}
