//! Two revisions of istiod, and an istiod that is down.

use std::sync::Arc;

use anyhow::{Context, ensure};
use plainsight_cluster::cluster::{Cluster, ISTIO};
use plainsight_cluster::stage::{Stage, canary};
use plainsight_cluster::strict;
use plainsight_cluster::workload::{Port, manifest};
use plainsight_harness::eventually::eventually;
use serde_json::json;

const REVISION: &str = "canary";

pub async fn the_charts_plugins_reach_the_sidecars_of_both_revisions(cluster: &Cluster) {
    let outcome = both(cluster).await;
    let removed = remove_revision(cluster).await;
    outcome
        .and(removed)
        .unwrap_or_else(|error| panic!("{error:#}"));
}

async fn both(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.install_istiod(Some(REVISION), json!({})).await?;
    let first = Stage::without_filter(cluster).await?;
    let second = of_revision(cluster).await?;
    for (stage, revision) in [(&first, "default"), (&second, REVISION)] {
        let bootstrap = stage.pod.bootstrap()?.to_string();
        let own = bootstrap.contains("istiod-canary.istio-system.svc");
        ensure!(own == (revision == REVISION), "{revision}: {bootstrap}");
    }
    first.install(json!({})).await?;
    for stage in [&first, &second] {
        stage.until_the_filter_counts().await?;
        let scrape = stage.pod.scrape().await?;
        let builds = scrape.count("plainsight_build_info", &[]);
        ensure!(
            builds == 1,
            "{}: {builds} of plainsight_build_info",
            stage.namespace
        );
    }
    Ok(())
}

/// The workload in a namespace that the second revision injects.
async fn of_revision(cluster: &Cluster) -> anyhow::Result<Stage<'_>> {
    let namespace = "shop-of-revision".to_owned();
    let workload = manifest(&namespace);
    let labelled = workload.replace("istio-injection: enabled", "istio.io/rev: canary");
    ensure!(labelled != workload, "no label to replace: {workload}");
    cluster.apply(&labelled).await?;
    let pods = cluster.rollout(&namespace, "deployment/checkout").await?;
    let pod = Arc::clone(pods.first().context("no pod")?);
    ensure!(pod.has_sidecar(), "not injected: {}", pod.object);
    Ok(Stage {
        cluster,
        namespace,
        pod,
    })
}

async fn remove_revision(cluster: &Cluster) -> anyhow::Result<()> {
    cluster
        .helm(&["uninstall", "istiod-canary", "-n", ISTIO, "--wait"])
        .await?;
    cluster.run_pods(ISTIO).await?;
    Ok(())
}

pub async fn without_istiod_sidecars_serve_and_the_filter_counts(cluster: &Cluster) {
    let outcome = down(cluster).await;
    let up = scale(cluster, 1).await;
    outcome.and(up).unwrap_or_else(|error| panic!("{error:#}"));
}

async fn scale(cluster: &Cluster, replicas: u8) -> anyhow::Result<()> {
    let replicas = format!("--replicas={replicas}");
    cluster
        .kubectl(&["scale", "deployment/istiod", "-n", ISTIO, &replicas], "")
        .await?;
    cluster.rollout(ISTIO, "deployment/istiod").await?;
    Ok(())
}

fn istiod_address(stage: &Stage<'_>) -> anyhow::Result<String> {
    let hosts = std::fs::read_to_string(stage.pod.file("istio-proxy", "/etc/hosts")?)?;
    let line = hosts.lines().find(|line| line.contains("istiod."));
    let address = line.and_then(|line| line.split(' ').next());
    Ok(address
        .with_context(|| format!("no istiod: {hosts}"))?
        .to_owned())
}

async fn down(cluster: &Cluster) -> anyhow::Result<()> {
    let stage = Stage::start(cluster, json!({})).await?;
    scale(cluster, 0).await?;
    let istiods = cluster.run_pods(ISTIO).await?;
    ensure!(istiods.is_empty(), "{} pods in {ISTIO}", istiods.len());
    // Every connection and every request is served, and counts.
    stage.until_the_filter_counts().await?;
    // Nothing validates: the API refuses a policy, so nothing can be switched by accident.
    let policy = strict::namespace(&stage.namespace);
    let refusal = cluster.apply(&policy).await;
    let refusal = format!(
        "{:#}",
        refusal
            .err()
            .context("a policy was accepted without istiod")?
    );
    ensure!(refusal.contains("failed calling webhook"), "{refusal}");
    let before = istiod_address(&stage)?;
    scale(cluster, 1).await?;
    // The sidecar finds the new istiod, as by the Service's name, and takes its changes.
    let istiods = cluster.run_pods(ISTIO).await?;
    let after = istiods.first().context("no istiod")?.address.to_string();
    let hosts = stage.pod.file("istio-proxy", "/etc/hosts")?;
    let text = std::fs::read_to_string(&hosts)?;
    std::fs::write(&hosts, text.replace(&before, &after))?;
    eventually("the policy is accepted again", || cluster.apply(&policy)).await?;
    eventually("plaintext is refused", || async {
        let outcome = stage.call(&canary(), Port::Http).await;
        ensure!(outcome.is_err(), "served: {outcome:?}");
        Ok(())
    })
    .await
    .with_context(|| stage.sidecar_log())
}
