//! The chart's `cli.rbac`: enough for every command, each right needed, nothing else asked.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use plainsight_cluster::chart::{documents, folder, render, root};
use plainsight_cluster::cluster::{AUDITED, Cluster};
use plainsight_harness::eventually::eventually;
use serde_json::Value;

use crate::command::{Answer, Evidence, mesh::Mesh};

const NAMESPACE: &str = "rights";
const ACCOUNT: &str = "plainsight";

/// A workload that the command answers about. Its pods are in the API only.
const WORKLOADS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: rights, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: rights}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec: {containers: [{name: orders, image: orders}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: plainsight, namespace: ci}
";

/// Every command that reads the cluster.
const COMMANDS: [&[&str]; 9] = [
    &["doctor"],
    &["report"],
    &["report", "-n", NAMESPACE],
    &["report", "-n", NAMESPACE, "-o", "json"],
    &["explain", "rights/orders"],
    &["plan", "-n", NAMESPACE],
    &["gate", "-f", "policy.yaml"],
    &["verify", "-n", NAMESPACE],
    &["snapshot", "-o", "snapshot.json"],
];

pub async fn the_charts_role_is_enough_and_nothing_else_is_asked(cluster: &Cluster) {
    let outcome = run(cluster).await;
    let label = "app.kubernetes.io/name=plainsight";
    let kinds = "clusterroles,clusterrolebindings,roles,rolebindings";
    cluster
        .kubectl(&["delete", kinds, "-A", "-l", label], "")
        .await
        .unwrap();
    cluster.end_namespace(NAMESPACE);
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

fn evidence() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.rules().workload(NAMESPACE, "orders", (1, 1), 15);
    mesh.caller(
        "batch/legacy-cron",
        "CronJob",
        "rights/orders:9000",
        3 * 3_600,
        "",
    );
    mesh
}

/// Ages and times of queries differ.
fn without_digits(text: &str) -> String {
    text.chars().filter(|one| !one.is_ascii_digit()).collect()
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    for namespace in [AUDITED, "istio-config"] {
        let object =
            format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}");
        cluster.apply(&object).await?;
    }
    cluster.apply(WORKLOADS).await?;
    let ready = [
        "rollout",
        "status",
        "deployment/orders",
        "-n",
        NAMESPACE,
        "--timeout=180s",
    ];
    cluster.kubectl(&ready, "").await?;
    let values = root().join("integration/cluster/charts/configured.values.yaml");
    let mut values: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(values)?)?;
    // The mesh configuration is istiod's, wherever the root namespace is.
    values["istio"] = serde_json::json!({"rootNamespace": "istio-config"});
    let objects: Vec<Value> = documents(&render(&folder(), &values)?)?
        .into_iter()
        .filter(|object| {
            object["apiVersion"]
                .as_str()
                .is_some_and(|api| api.starts_with("rbac"))
        })
        .collect();
    ensure!(objects.len() == 4, "the chart renders {objects:#?}");
    for object in &objects {
        cluster.apply(&object.to_string()).await?;
    }
    let kubeconfig = cluster.kubeconfig_of(AUDITED, ACCOUNT).await?;
    let evidence = Evidence::start(cluster, &evidence()).await?;
    std::fs::write(
        evidence.folder().join("policy.yaml"),
        plainsight_cluster::strict::namespace(NAMESPACE),
    )?;
    for arguments in COMMANDS {
        let administrators = evidence.ask(arguments).await?;
        let own = evidence.ask_as(&kubeconfig, arguments).await?;
        ensure!(
            own.code == administrators.code
                && without_digits(&own.out) == without_digits(&administrators.out)
                && own.code != 1,
            "{arguments:?}: {own:?}; as the administrator: {administrators:?}"
        );
        ensure!(
            !format!("{own:?}").contains("forbidden"),
            "{arguments:?}: {own:?}"
        );
    }
    let asked = asked(cluster)?;
    let granted = granted(&objects);
    ensure!(asked == granted, "asked: {asked:?}; granted: {granted:?}");
    for (object, rule, resource) in rights(&objects) {
        let mut without = objects[object].clone();
        let rule = &mut without["rules"][rule];
        let verb = rule["verbs"][0].as_str().unwrap_or_default().to_owned();
        rule["resources"]
            .as_array_mut()
            .context("no resources")?
            .retain(|one| one != resource.as_str());
        if rule["resources"].as_array().is_some_and(Vec::is_empty) {
            rule["resources"] = serde_json::json!(["none"]);
        }
        cluster.apply(&without.to_string()).await?;
        let right = format!("{verb} {resource}");
        eventually("the API server refuses", || async {
            let own = evidence.ask_as(&kubeconfig, &["doctor"]).await?;
            ensure!(own.out.contains(&right), "doctor, without {right}: {own:?}");
            Ok(())
        })
        .await?;
        for arguments in &COMMANDS[1..] {
            let own = evidence.ask_as(&kubeconfig, arguments).await?;
            let kept = std::fs::read_to_string(evidence.folder().join("snapshot.json"))?;
            let before = evidence.ask(arguments).await?;
            let said = match arguments[0] {
                "snapshot" => kept,
                _ => format!("{}{}", own.out, own.err),
            };
            check(&own, &before, &said, &resource, &right)
                .with_context(|| format!("{arguments:?}"))?;
        }
        cluster.apply(&objects[object].to_string()).await?;
    }
    Ok(())
}

/// One clear sentence: the end of the command, or a note under an answer that stands.
fn check(
    own: &Answer,
    before: &Answer,
    said: &str,
    resource: &str,
    right: &str,
) -> anyhow::Result<()> {
    if ["pods", "peerauthentications"].contains(&resource) {
        ensure!(
            own.code == 1 && own.out.is_empty(),
            "without {right}: {own:?}"
        );
        ensure!(
            own.err.lines().count() == 1 && own.err.contains(&format!("the right to {right}")),
            "without {right}: {own:?}"
        );
    } else {
        ensure!(
            own.code == before.code,
            "without {right}: {own:?}; with it: {before:?}"
        );
        ensure!(said.contains(right), "without {right}: {own:?}");
        let place = if resource == "configmaps" {
            "in namespace istio-system"
        } else {
            "in all namespaces"
        };
        ensure!(said.contains(place), "without {right}: {own:?}");
    }
    Ok(())
}

/// Verb, group and resource of each right.
fn granted(objects: &[Value]) -> BTreeSet<(String, String, String)> {
    let strings = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut all = BTreeSet::new();
    for rule in objects
        .iter()
        .filter_map(|object| object["rules"].as_array())
        .flatten()
    {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                for verb in strings(&rule["verbs"]) {
                    all.insert((verb, group.clone(), resource.clone()));
                }
            }
        }
    }
    all
}

/// What the account has asked the API server for.
fn asked(cluster: &Cluster) -> anyhow::Result<BTreeSet<(String, String, String)>> {
    let log = cluster.folder().join("audit.log");
    let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    let mut all = BTreeSet::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        let text = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let resource = match event["objectRef"].is_object() {
            true => text("/objectRef/resource"),
            false => text("/requestURI"),
        };
        all.insert((text("/verb"), text("/objectRef/apiGroup"), resource));
    }
    Ok(all)
}

/// Each single right: the index of its object, of its rule, and its resource.
fn rights(objects: &[Value]) -> Vec<(usize, usize, String)> {
    let mut all = Vec::new();
    for (object, role) in objects.iter().enumerate() {
        for (rule, rights) in role["rules"].as_array().into_iter().flatten().enumerate() {
            for resource in rights["resources"].as_array().into_iter().flatten() {
                all.push((
                    object,
                    rule,
                    resource.as_str().unwrap_or_default().to_owned(),
                ));
            }
        }
    }
    all
}
