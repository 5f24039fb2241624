//! `make bench-cluster`: what a cluster of the size of docs/rules.md costs kube-state-metrics, Prometheus and the command.
//! No sidecar runs: every series of the filter is missing, discovery and the joins with kube-state-metrics are real.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use plainsight_cluster::chart;
use plainsight_cluster::cluster::{Cluster, Parts};
use plainsight_cluster::story::plainsight;
use plainsight_harness::exposition::Scrape;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const NAMESPACES: usize = 20;
const WORKLOADS: usize = 500;
const REPLICAS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tokio::select! {
        outcome = measure() => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn measure() -> anyhow::Result<()> {
    let cluster = Cluster::start(Parts {
        registry: true,
        monitoring: true,
    })
    .await?;
    // Istio's sidecars ask for a tenth of a core each.
    cluster.add_nodes(6).await?;
    // As often as kube-prometheus scrapes.
    let pace = r#"{"spec":{"scrapeInterval":"30s","evaluationInterval":"30s"}}"#;
    cluster
        .kubectl(
            &[
                "patch",
                "prometheus",
                "main",
                "-n",
                "monitoring",
                "--type=merge",
                "-p",
                pace,
            ],
            "",
        )
        .await?;
    chart::install(&cluster, &json!({"image": cluster.image()?})).await?;

    let begun = Instant::now();
    for number in 0..NAMESPACES {
        let name = format!("ns-{number}");
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"istio-injection": "enabled"}}}),
        ];
        objects.extend((0..WORKLOADS / NAMESPACES).map(|workload| {
            let app = format!("app-{workload}");
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": app, "namespace": name},
                "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": app}}, "template": {
                    "metadata": {"labels": {"app": app}},
                    "spec": {"containers": [{"name": "app", "image": "app"}]},
                }},
            })
        }));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        cluster.apply(&list.to_string()).await?;
    }
    let pods = WORKLOADS * REPLICAS;
    let sidecars = "count(kube_pod_init_container_info{container=\"istio-proxy\"} and on (namespace, pod) kube_pod_status_phase{phase=\"Running\"} == 1)";
    until(&cluster, sidecars, pods).await?;
    println!(
        "{WORKLOADS} workloads, {pods} injected pods, created, scheduled, running and scraped after {} s",
        begun.elapsed().as_secs()
    );
    // A pod counts from its sixth minute on; then one more round of all groups.
    until(&cluster, "count(plainsight:pod:sidecar)", pods).await?;
    until(&cluster, "count(plainsight:workload:pods)", WORKLOADS).await?;
    println!(
        "all of them in plainsight:pod:sidecar after {} s",
        begun.elapsed().as_secs()
    );

    for (what, query) in [
        (
            "samples of one scrape of kube-state-metrics",
            "max(scrape_samples_scraped{job=\"kube-state-metrics\"})",
        ),
        (
            "seconds of one scrape of kube-state-metrics",
            "max(max_over_time(scrape_duration_seconds{job=\"kube-state-metrics\"}[5m]))",
        ),
        (
            "targets of the PodMonitor",
            "count(up{job=\"monitoring/plainsight\"})",
        ),
        (
            "series of the rules",
            "count({__name__=~\"plainsight:.+\"})",
        ),
    ] {
        println!("{what}: {}", number(&cluster, query).await?);
    }
    let rules =
        serde_json::from_str::<Value>(&cluster.ask_prometheus("/api/v1/rules?type=record").await?)?;
    for group in rules["data"]["groups"].as_array().into_iter().flatten() {
        println!(
            "group {}: {:.3} s",
            group["name"].as_str().unwrap_or_default(),
            group["evaluationTime"].as_f64().unwrap_or_default()
        );
    }
    let prometheus = Scrape::parse(&cluster.ask_prometheus("/metrics").await?)?;
    println!(
        "Prometheus: {:.0} MiB, {} series",
        prometheus.sum("process_resident_memory_bytes", &[]) / 1048576.0,
        prometheus.sum("prometheus_tsdb_head_series", &[])
    );
    for arguments in [
        &["report", "-A"][..],
        &["report", "-n", "ns-0"],
        &["doctor"],
    ] {
        let begun = Instant::now();
        let mut command = cluster.command(plainsight()?);
        let mut child = command
            .args(arguments)
            .env(
                "PLAINSIGHT_PROMETHEUS",
                format!("http://{}", cluster.prometheus()?),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let status = format!("/proc/{}/status", child.id().context("ended")?);
        let mut peak = 0;
        while child.try_wait()?.is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
            peak = peak.max(kib.unwrap_or(0_u64));
            sleep(Duration::from_millis(5)).await;
        }
        println!(
            "plainsight {}: {:.2} s, {} MiB",
            arguments.join(" "),
            begun.elapsed().as_secs_f64(),
            peak / 1024
        );
    }
    Ok(())
}

async fn until(cluster: &Cluster, query: &str, wanted: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let found = number(cluster, query).await.unwrap_or_default();
        if found >= wanted as f64 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{query}: {found} of {wanted}");
        sleep(Duration::from_secs(5)).await;
    }
}

async fn number(cluster: &Cluster, query: &str) -> anyhow::Result<f64> {
    let rows = cluster.query(query).await?;
    let value = rows.first().and_then(|row| row["value"][1].as_str());
    Ok(value
        .with_context(|| format!("{query}: no result"))?
        .parse()?)
}
