//! Coverage and names by the operator's Prometheus: native and classic sidecars, a rollout, kube-state-metrics restarted,
//! an address that changes hands.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, ensure};
use plainsight_cluster::cluster::Cluster;
use plainsight_cluster::pod::Pod;
use plainsight_cluster::{chart, pace};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};

/// Both kinds of sidecars, and a caller without one; NAMESPACE is the test's.
const WORKLOADS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: native, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: native}}
  template:
    metadata: {labels: {app: native}, annotations: {sidecar.istio.io/nativeSidecar: "true"}}
    spec: {containers: [{name: native, image: native, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: classic, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: classic}}
  template:
    metadata: {labels: {app: classic}, annotations: {sidecar.istio.io/nativeSidecar: "false"}}
    spec: {containers: [{name: classic, image: classic, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: caller, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: caller}}
  template:
    metadata: {labels: {app: caller, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: caller, image: caller}]}
"#;

/// A node whose only pod always has the same address, because kwok takes it from the node's block.
const NODE: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: small, annotations: {kwok.x-k8s.io/node: fake}}
spec: {podCIDR: 10.77.127.0/30, podCIDRs: [10.77.127.0/30], unschedulable: true}
status:
  addresses: [{type: InternalIP, address: 10.77.2.200}]
  allocatable: {cpu: "1", memory: 1Gi, pods: "1"}
"#;

/// The pod of that node.
const HOLDER: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: HOLDER, namespace: reuse}
spec:
  selector: {matchLabels: {app: HOLDER}}
  template:
    metadata: {labels: {app: HOLDER, sidecar.istio.io/inject: "false"}}
    spec: {nodeName: small, containers: [{name: caller, image: caller}]}
"#;

pub async fn coverage_and_names_survive_rollouts_and_restarts(cluster: &Cluster) {
    let outcome = run(cluster, "coverage").await;
    end(cluster, "coverage").await;
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

pub async fn pods_that_had_one_address_one_after_another_keep_their_calls(cluster: &Cluster) {
    let outcome = reuse(cluster, "reuse").await;
    end(cluster, "reuse").await;
    cluster.delete(NODE).await.unwrap();
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

/// The workloads of a test in a namespace of its own, and the chart with rules at a test's pace.
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'static str,
    pods: Vec<Arc<Pod>>,
}

/// Removes the release and ends the namespace.
pub async fn end(cluster: &Cluster, namespace: &str) {
    let _ = cluster
        .helm(&["uninstall", "plainsight", "-n", "monitoring"])
        .await;
    cluster.end_namespace(namespace);
}

impl<'a> Scene<'a> {
    pub async fn start(cluster: &'a Cluster, namespace: &'static str) -> anyhow::Result<Self> {
        cluster
            .apply(&WORKLOADS.replace("NAMESPACE", namespace))
            .await?;
        let values = json!({"image": cluster.image()?, "namespaces": [namespace], "grafana": {"enabled": false}});
        chart::install(cluster, &values).await?;
        pace::quicken(cluster).await?;
        for workload in ["native", "classic", "caller"] {
            let workload = format!("deployment/{workload}");
            cluster.rollout(namespace, &workload).await?;
        }
        let pods = cluster.run_pods(namespace).await?;
        Ok(Self {
            cluster,
            namespace,
            pods,
        })
    }

    pub fn pod(&self, workload: &str) -> anyhow::Result<&Pod> {
        let mut pods = self.pods.iter();
        let found = pods.find(|pod| pod.name().starts_with(workload));
        found.map(AsRef::as_ref).context("no pod")
    }

    /// Replaces the pods of a workload.
    pub async fn restart(&mut self, workload: &str) -> anyhow::Result<()> {
        let (former, workload_name) = (
            self.pod(workload)?.uid().to_owned(),
            format!("deployment/{workload}"),
        );
        let arguments = ["rollout", "restart", &workload_name, "-n", self.namespace];
        self.cluster.kubectl(&arguments, "").await?;
        self.pods = self.cluster.rollout(self.namespace, &workload_name).await?;
        ensure!(self.pod(workload)?.uid() != former, "not replaced");
        Ok(())
    }

    /// The value of a query with `OF` as its selector of a workload; it must have exactly one.
    pub async fn value(&self, query: &str, workload: &str) -> anyhow::Result<f64> {
        let of = format!(
            "destination_workload_namespace=\"{}\",destination_workload=\"{workload}\"",
            self.namespace
        );
        let query = query.replace("OF", &of);
        let found = self.cluster.query(&query).await?;
        ensure!(found.len() == 1, "{query}: {found:?}");
        Ok(value(&found))
    }

    /// Both workloads have one pod, which reports.
    pub async fn covered(&self, when: &str) -> anyhow::Result<()> {
        eventually(when, || async {
            for series in ["pods", "pods_reporting"] {
                for workload in ["native", "classic"] {
                    let series = format!("plainsight:workload:{series}{{OF}}");
                    let pods = self.value(&series, workload).await?;
                    ensure!(pods == 1.0, "{series}: {workload}: {pods}");
                }
            }
            Ok(())
        })
        .await
    }

    /// Waits until the rules have seen 20 seconds more: what holds then does not rest on what was evaluated before.
    pub async fn evaluated(&self) -> anyhow::Result<()> {
        let began = self.cluster.query("vector(time())").await?;
        eventually("20 seconds of evaluations", || async {
            let now = self
                .cluster
                .query("min(plainsight:rules:evaluated_timestamp_seconds)")
                .await?;
            ensure!(value(&now) > value(&began) + 20.0, "{now:?}");
            Ok(())
        })
        .await
    }

    /// A plaintext call from a pod without a sidecar.
    pub async fn call(&self, caller: &Pod, workload: &str) -> anyhow::Result<()> {
        let plain = Caller::http1(&caller.address.to_string());
        let to = (self.pod(workload)?.address, 8080).into();
        caller.call(&plain, to).await.map(drop)
    }

    /// Waits until exactly these workloads have called these, by all evidence.
    pub async fn named(&self, wanted: &[(&str, &str)]) -> anyhow::Result<()> {
        let name = |(caller, workload): &(&str, &str)| {
            (
                format!("{}/{caller}", self.namespace),
                (*workload).to_owned(),
            )
        };
        let wanted: BTreeSet<_> = wanted.iter().map(name).collect();
        let named = eventually("the callers have their names", || async {
            let found = self.callers().await?;
            ensure!(found == wanted, "{found:?}");
            Ok(())
        });
        let Err(error) = named.await else {
            return Ok(());
        };
        let shown = self.cluster.query("plainsight_last_seen_timestamp_seconds");
        let shown = shown.await?;
        let bad = self.rules_in_error().await?;
        Err(error.context(format!("rules in error: {bad:?}; sidecars show {shown:?}")))
    }

    /// The rules that Prometheus could not evaluate.
    async fn rules_in_error(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.cluster.ask_prometheus("/api/v1/rules").await?;
        let answer: Value = serde_json::from_str(&answer)?;
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let bad = rules.filter(|rule| rule["health"] == "err");
        Ok(bad
            .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
            .collect())
    }

    /// Caller and called workload of all evidence.
    async fn callers(&self) -> anyhow::Result<BTreeSet<(String, String)>> {
        let query = format!(
            "plainsight:caller:last_seen_timestamp_seconds{{destination_workload_namespace=\"{}\"}}",
            self.namespace
        );
        let rows = self.cluster.query(&query).await?;
        let label =
            |row: &Value, name: &str| row["metric"][name].as_str().unwrap_or_default().to_owned();
        let of = |row: &Value| (label(row, "caller"), label(row, "destination_workload"));
        Ok(rows.iter().map(of).collect())
    }
}

fn value(rows: &[Value]) -> f64 {
    let value = rows.first().and_then(|row| row["value"][1].as_str());
    value.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

async fn run(cluster: &Cluster, namespace: &'static str) -> anyhow::Result<()> {
    let mut scene = Scene::start(cluster, namespace).await?;
    let place = |pod: &Pod, list: &str| {
        let containers = pod.object["spec"][list].as_array().into_iter().flatten();
        containers
            .filter(|one| one["name"] == "istio-proxy")
            .count()
    };
    let (native, classic, caller) = (
        scene.pod("native")?,
        scene.pod("classic")?,
        scene.pod("caller")?,
    );
    ensure!(
        place(native, "initContainers") == 1,
        "native: {}",
        native.object
    );
    ensure!(
        place(classic, "containers") == 1,
        "classic: {}",
        classic.object
    );
    ensure!(!caller.has_sidecar(), "caller: {}", caller.object);
    scene.covered("installed").await?;
    let called = [("caller", "native"), ("caller", "classic")];
    for (_, workload) in called {
        scene.call(caller, workload).await?;
    }
    scene.named(&called).await?;

    scene.restart("native").await?;
    scene.covered("replaced").await?;

    let deployment = "deployment/kube-state-metrics";
    let restart = ["rollout", "restart", deployment, "-n", "kube-system"];
    cluster.kubectl(&restart, "").await?;
    cluster.rollout("kube-system", deployment).await?;
    scene.evaluated().await?;
    scene.covered("kube-state-metrics restarted").await?;
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
    scene.named(&called).await?;
    let bad = scene.rules_in_error().await?;
    ensure!(bad.is_empty(), "rules in error: {bad:?}");
    Ok(())
}

/// Runs the only pod of the small node.
async fn hold(scene: &Scene<'_>, holder: &str) -> anyhow::Result<Arc<Pod>> {
    let manifest = HOLDER.replace("HOLDER", holder);
    scene.cluster.apply(&manifest).await?;
    let workload = format!("deployment/{holder}");
    let pods = scene.cluster.rollout(scene.namespace, &workload).await?;
    let pod = pods.into_iter().find(|pod| pod.name().starts_with(holder));
    pod.context("no pod")
}

async fn reuse(cluster: &Cluster, namespace: &'static str) -> anyhow::Result<()> {
    let scene = Scene::start(cluster, namespace).await?;
    cluster.apply(NODE).await?;
    let former = hold(&scene, "former").await?;
    scene.call(&former, "native").await?;
    scene.named(&[("former", "native")]).await?;
    let ended = value(&cluster.query("vector(time())").await?);
    let address = former.address;
    drop(former);

    // The pods of a deleted Deployment are deleted after it.
    cluster.delete(&HOLDER.replace("HOLDER", "former")).await?;
    let gone = [
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "app=former",
        "-n",
        namespace,
    ];
    cluster.kubectl(&gone, "").await?;
    let later = hold(&scene, "later").await?;
    ensure!(later.address == address, "{address}: {}", later.address);
    // One that the former holder never called, then the one that it did call, whose sidecar has one series for both.
    let mut calls = vec![("former", "native")];
    for workload in ["classic", "native"] {
        scene.call(&later, workload).await?;
        calls.push(("later", workload));
        scene.named(&calls).await?;
    }
    scene.evaluated().await?;
    scene.named(&calls).await?;
    let seen = format!(
        "max_over_time(plainsight:caller:last_seen_timestamp_seconds{{caller=\"{namespace}/former\"}}[15m])"
    );
    let seen = value(&cluster.query(&seen).await?);
    ensure!(
        seen < ended,
        "the former holder ended at {ended} and called at {seen}"
    );
    Ok(())
}
