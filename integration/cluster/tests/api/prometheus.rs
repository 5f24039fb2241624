//! The evidence outlives the called pod and a restart of Prometheus.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use plainsight_cluster::cluster::Cluster;
use plainsight_cluster::pace;
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{self, Answer};
use crate::coverage::{Scene, end};

const NAMESPACE: &str = "memory";
const READY: &str = "plainsight:workload:ready{OF,window=\"1h\",counted=\"all\"}";
const SINCE: &str = "plainsight:workload:reporting_since_timestamp_seconds{OF}";

pub async fn evidence_survives_the_called_pod_and_a_restart_of_prometheus(cluster: &Cluster) {
    let outcome = run(cluster).await;
    end(cluster, NAMESPACE).await;
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

/// The command, with this cluster's Prometheus.
struct Command<'a> {
    cluster: &'a Cluster,
    folder: TempDir,
}

impl Command<'_> {
    async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Answer> {
        let prometheus = format!("http://{}", self.cluster.prometheus()?);
        let kubeconfig = self.cluster.kubeconfig();
        command::ask(
            self.cluster,
            &prometheus,
            self.folder.path(),
            &kubeconfig,
            arguments,
        )
        .await
    }

    /// May this workload become STRICT?
    async fn gate(&self, workload: &str, window: &str) -> anyhow::Result<Answer> {
        let policy = json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": workload, "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": {"app": workload}}, "mtls": {"mode": "STRICT"}},
        });
        std::fs::write(self.folder.path().join("strict.yaml"), policy.to_string())?;
        self.ask(&["gate", "-f", "strict.yaml", "--window", window])
            .await
    }

    /// Who called what, within an hour.
    async fn callers(&self) -> anyhow::Result<BTreeSet<String>> {
        let arguments = ["explain", NAMESPACE, "--window", "1h", "-o", "json"];
        let answer = self.ask(&arguments).await?;
        let document: Value = serde_json::from_str(&answer.out)
            .with_context(|| format!("{arguments:?}: {answer:?}"))?;
        let callers = document["callers"].as_array().context("no callers")?;
        let name = |caller: &Value| {
            format!(
                "{} {} {}",
                caller["name"], caller["destinationWorkload"], caller["strict"]
            )
        };
        Ok(callers.iter().map(name).collect())
    }
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let mut scene = Scene::start(cluster, NAMESPACE).await?;
    let command = Command {
        cluster,
        folder: tempfile::tempdir()?,
    };
    scene.call(scene.pod("caller")?, "native").await?;
    scene.named(&[("caller", "native")]).await?;
    // Not before the caller is known: a call counts some seconds later.
    pace::prove_sooner(cluster).await?;
    // The workload without callers shows that readiness can be reached.
    eventually("classic is ready", || async {
        let ready = scene.value(READY, "classic").await?;
        let gate = command.gate("classic", "20s").await?;
        ensure!(ready == 1.0 && gate.code == 0, "{ready}, {gate:?}");
        Ok(())
    })
    .await?;

    // The sidecar that saw the caller goes; its evidence stays.
    scene.restart("native").await?;
    scene.evaluated().await?;
    scene.covered("native replaced").await?;
    let shown = scene.pod("native")?.scrape().await?;
    let shown = shown.sum("plainsight_last_seen_timestamp_seconds", &[]);
    ensure!(shown == 0.0, "the new sidecar shows the caller: {shown}");
    let native = ["\"memory/caller\" \"native\" \"reject\"".to_owned()];
    ensure!(command.callers().await? == BTreeSet::from(native.clone()));
    let gate = command.gate("native", "1h").await?;
    ensure!(gate.code == 2, "{gate:?}");

    // A container restarts: its volumes stay.
    let proven = scene.value(SINCE, "classic").await?;
    let pod = cluster.prometheus_pod()?;
    pod.end("prometheus")?;
    ensure!(cluster.query("vector(1)").await.is_err(), "it still runs");
    let down = command.gate("classic", "20s").await?;
    ensure!(down.code == 1, "{down:?}");
    scene.call(scene.pod("caller")?, "classic").await?;
    pod.restart("prometheus").await?;
    ensure!(command.callers().await?.is_superset(&native.clone().into()));
    let gate = command.gate("native", "1h").await?;
    ensure!(gate.code == 2, "{gate:?}");
    scene
        .named(&[("caller", "native"), ("caller", "classic")])
        .await?;
    scene.evaluated().await?;
    ensure!(command.callers().await?.len() == 2);
    let gate = command.gate("classic", "1h").await?;
    ensure!(gate.code == 2, "the call while it was down: {gate:?}");
    let since = scene.value(SINCE, "classic").await?;
    ensure!(
        since == proven,
        "classic: proven since {proven}, now {since}"
    );
    let ready = scene.value(READY, "classic").await?;
    ensure!(ready == 0.0, "classic: {ready}");
    let always = format!("max_over_time({READY}[15m])");
    let ready = scene.value(&always, "native").await?;
    ensure!(ready == 0.0, "native was ready: {ready}");
    Ok(())
}
