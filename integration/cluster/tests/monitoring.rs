//! The operator's Prometheus: what it scrapes through the chart's PodMonitor, and the rules that it loads.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use plainsight_cluster::chart::folder;
use plainsight_cluster::cluster::{Cluster, Parts};
use plainsight_cluster::stage::{Stage, canary};
use plainsight_cluster::workload::Port;
use plainsight_cluster::{suite, tests};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};

async fn ask(cluster: &Cluster, path: &str) -> anyhow::Result<Value> {
    let (prometheus, path) = (cluster.prometheus()?, path.to_owned());
    let caller = Caller::http1(&plainsight_cluster::cluster::ROUTER.to_string());
    let reply = cluster.outside(async move { caller.get(prometheus, &path).await });
    Ok(serde_json::from_slice(&reply.await?.body)?)
}

async fn a_helm_release_brings_series_and_rules_to_the_operators_prometheus(cluster: &Cluster) {
    let stage = Stage::without_filter(cluster)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let mut values = stage.canary_values(json!({}));
    values["image"] = cluster.image().unwrap();
    let file = cluster.folder().join("chart.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let (chart, file) = (folder().display().to_string(), file.display().to_string());
    let arguments = [
        "install",
        "plainsight",
        &chart,
        "-n",
        "monitoring",
        "-f",
        &file,
    ];
    cluster.helm(&arguments).await.unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    stage.call(&canary(), Port::Http).await.unwrap();

    eventually("series of the filter and of kube-state-metrics", || async {
        let pod = stage.pod.name();
        for metric in ["plainsight_connections_total", "kube_pod_info"] {
            let query = format!("/api/v1/query?query={metric}%7Bpod%3D%22{pod}%22%7D");
            let answer = ask(cluster, &query).await?;
            let result = answer["data"]["result"].as_array();
            if result.is_none_or(|result| result.is_empty()) {
                let targets = ask(cluster, "/api/v1/targets?state=active").await?;
                bail!("{metric}: {answer}: {targets}");
            }
        }
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    eventually("the chart's rules", || async {
        let answer = ask(cluster, "/api/v1/rules").await?;
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = groups
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .collect();
        let bad = rules.iter().find(|rule| rule["health"] == "err");
        ensure!(
            !rules.is_empty() && bad.is_none(),
            "{}: {bad:?}",
            rules.len()
        );
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

fn main() -> ExitCode {
    let parts = Parts {
        registry: true,
        monitoring: true,
    };
    suite::run(
        parts,
        tests![a_helm_release_brings_series_and_rules_to_the_operators_prometheus],
    )
}
