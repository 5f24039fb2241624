//! The filter's metrics under the bootstrap that Istio's agent renders from Istio's own template.

use plainsight_cluster::cluster::{Cluster, caller_address};
use plainsight_cluster::stage::{Stage, canary};
use plainsight_cluster::workload::Port;
use plainsight_harness::shapes::stock_tags;
use serde_json::json;

/// The line of one metric for the canary's address, as Prometheus reads it.
async fn line(stage: &Stage<'_>, metric: &str) -> String {
    let text = stage.pod.get_metrics("/stats/prometheus").await.unwrap();
    let (address, port) = (canary().source.to_string(), Port::Http.number().to_string());
    let mut lines = text
        .lines()
        .filter(|line| line.starts_with(metric) && line.contains(&address) && line.contains(&port));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("{metric}: not there: {text}"))
        .to_owned();
    assert_eq!(
        lines.next(),
        None,
        "{metric}: one series for one caller and port"
    );
    line.rsplit_once(' ').unwrap().0.to_owned()
}

pub async fn all_labels_are_in_one_on_a_stock_sidecar(cluster: &Cluster) {
    let stage = Stage::start(cluster, json!({}))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let address = caller_address(254);
    let of_caller = format!(
        "peer=plaintext,strict=reject,source_ip={address},destination_workload=checkout,\
         destination_workload_namespace={},destination_port=8080",
        stage.namespace
    );
    assert_eq!(
        line(&stage, "plainsight_connections_total").await,
        format!("plainsight_connections_total{{tag=\"{of_caller}\"}}")
    );
    assert_eq!(
        line(&stage, "plainsight_requests_total").await,
        format!("plainsight_requests_total{{tag=\"{of_caller},traffic=app\"}}")
    );
    assert_eq!(
        stage.pod.bootstrap().unwrap()["stats_config"]["stats_tags"],
        stock_tags(),
        "integration/harness/src/shapes/stock_tags.json differs from Istio's bootstrap"
    );
}
