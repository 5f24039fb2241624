//! Coverage and names by the operator's Prometheus: native and classic sidecars, a rollout, kube-state-metrics restarted.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use plainsight_cluster::cluster::Cluster;
use plainsight_cluster::pod::Pod;
use plainsight_cluster::{chart, pace};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};

const NAMESPACE: &str = "coverage";

/// Both kinds of sidecars, and a caller without one.
const WORKLOADS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: coverage, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: native, namespace: coverage}
spec:
  selector: {matchLabels: {app: native}}
  template:
    metadata: {labels: {app: native}, annotations: {sidecar.istio.io/nativeSidecar: "true"}}
    spec: {containers: [{name: native, image: native, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: classic, namespace: coverage}
spec:
  selector: {matchLabels: {app: classic}}
  template:
    metadata: {labels: {app: classic}, annotations: {sidecar.istio.io/nativeSidecar: "false"}}
    spec: {containers: [{name: classic, image: classic, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: caller, namespace: coverage}
spec:
  selector: {matchLabels: {app: caller}}
  template:
    metadata: {labels: {app: caller, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: caller, image: caller}]}
"#;

pub async fn coverage_and_names_survive_rollouts_and_restarts(cluster: &Cluster) {
    let outcome = run(cluster).await;
    let _ = cluster
        .helm(&["uninstall", "plainsight", "-n", "monitoring"])
        .await;
    cluster.end_namespace(NAMESPACE);
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.apply(WORKLOADS).await?;
    let values = json!({"image": cluster.image()?, "namespaces": [NAMESPACE], "grafana": {"enabled": false}});
    chart::install(cluster, &values).await?;
    pace::quicken(cluster).await?;
    for workload in ["native", "classic", "caller"] {
        cluster
            .rollout(NAMESPACE, &format!("deployment/{workload}"))
            .await?;
    }
    let pods = cluster.run_pods(NAMESPACE).await?;
    let pod = |workload: &str| {
        let mut pods = pods.iter();
        let found = pods.find(|pod| pod.name().starts_with(workload));
        found.map(AsRef::as_ref).context("no pod")
    };
    let place = |pod: &Pod, list: &str| {
        let containers = pod.object["spec"][list].as_array().into_iter().flatten();
        containers
            .filter(|one| one["name"] == "istio-proxy")
            .count()
    };
    ensure!(
        place(pod("native")?, "initContainers") == 1,
        "native: {}",
        pod("native")?.object
    );
    ensure!(
        place(pod("classic")?, "containers") == 1,
        "classic: {}",
        pod("classic")?.object
    );
    ensure!(
        !pod("caller")?.has_sidecar(),
        "caller: {}",
        pod("caller")?.object
    );
    covered(cluster, "installed").await?;
    named(cluster, pod("caller")?, &[pod("native")?, pod("classic")?]).await?;

    cluster
        .kubectl(
            &["rollout", "restart", "deployment/native", "-n", NAMESPACE],
            "",
        )
        .await?;
    let renewed = cluster.rollout(NAMESPACE, "deployment/native").await?;
    ensure!(
        renewed
            .iter()
            .all(|one| one.uid() != pod("native").map_or("", Pod::uid)),
        "not replaced"
    );
    covered(cluster, "replaced").await?;

    let restart = [
        "rollout",
        "restart",
        "deployment/kube-state-metrics",
        "-n",
        "kube-system",
    ];
    cluster.kubectl(&restart, "").await?;
    cluster
        .rollout("kube-system", "deployment/kube-state-metrics")
        .await?;
    let began = cluster.query("vector(time())").await?;
    eventually("evaluations after the restart", || async {
        let now = cluster
            .query("max(plainsight:rules:evaluated_timestamp_seconds)")
            .await?;
        ensure!(value(&now) > value(&began) + 10.0, "{now:?}");
        Ok(())
    })
    .await?;
    covered(cluster, "kube-state-metrics restarted").await?;
    // Never counted twice, by the old and the new kube-state-metrics, and never uncovered.
    for (aggregate, series) in [("max", "pods"), ("min", "pods_reporting")] {
        let query = format!(
            "{aggregate}_over_time(plainsight:workload:{series}{{destination_workload=\"classic\"}}[10s])"
        );
        let found = cluster.query(&query).await?;
        ensure!(
            found.len() == 1 && value(&found) == 1.0,
            "{query}: {found:?}"
        );
    }
    let callers = callers(cluster).await?;
    ensure!(callers.len() == 2, "{callers:?}");
    let rules: Value = serde_json::from_str(&cluster.ask_prometheus("/api/v1/rules").await?)?;
    let groups = rules["data"]["groups"].as_array().into_iter().flatten();
    let mut rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let bad = rules.find(|rule| rule["health"] == "err");
    ensure!(bad.is_none(), "a rule in error: {bad:?}");
    Ok(())
}

fn value(rows: &[Value]) -> f64 {
    let value = rows.first().and_then(|row| row["value"][1].as_str());
    value.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Both workloads have one pod, which reports.
async fn covered(cluster: &Cluster, when: &str) -> anyhow::Result<()> {
    eventually(when, || async {
        for series in ["pods", "pods_reporting"] {
            for workload in ["native", "classic"] {
                let query = format!(
                    "plainsight:workload:{series}{{destination_workload_namespace=\"{NAMESPACE}\",destination_workload=\"{workload}\"}}"
                );
                let found = cluster.query(&query).await?;
                ensure!(found.len() == 1 && value(&found) == 1.0, "{query}: {found:?}");
            }
        }
        Ok(())
    })
    .await
}

/// The caller is named as its Deployment at both workloads.
async fn named(cluster: &Cluster, caller: &Pod, called: &[&Pod]) -> anyhow::Result<()> {
    eventually("the caller has its name", || async {
        for pod in called {
            let plain = Caller::http1(&caller.address.to_string());
            caller.call(&plain, (pod.address, 8080).into()).await?;
        }
        let found = callers(cluster).await?;
        let name = "coverage/caller".to_owned();
        let wanted = ["native", "classic"].map(|workload| (name.clone(), workload.to_owned()));
        ensure!(found == BTreeSet::from(wanted), "{found:?}");
        Ok(())
    })
    .await
}

/// Caller and called workload of all evidence.
async fn callers(cluster: &Cluster) -> anyhow::Result<BTreeSet<(String, String)>> {
    let query = format!(
        "plainsight:caller:last_seen_timestamp_seconds{{destination_workload_namespace=\"{NAMESPACE}\"}}"
    );
    let rows = cluster.query(&query).await?;
    let label =
        |row: &Value, name: &str| row["metric"][name].as_str().unwrap_or_default().to_owned();
    let of = |row: &Value| (label(row, "caller"), label(row, "destination_workload"));
    Ok(rows.iter().map(of).collect())
}
