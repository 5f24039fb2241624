//! Real istiod, Istio's agent and a real Envoy: how the chart installs the filter, changes it and removes it.

use plainsight_cluster::chart;
use plainsight_cluster::cluster::Cluster;
use plainsight_cluster::stage::{Stage, canary};
use plainsight_cluster::workload::Port;
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};

async fn stage(cluster: &Cluster) -> Stage<'_> {
    Stage::without_filter(cluster)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}

async fn until_the_filter_counts(stage: &Stage<'_>, what: &str) {
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));
}

pub async fn every_scope_brings_the_filter_to_every_port_and_its_removal_takes_it_away(
    cluster: &Cluster,
) {
    let stage = stage(cluster).await;
    stage.until_nothing_counts().await.unwrap();
    let scopes = [
        ("canary", stage.canary_values(json!({}))),
        ("namespace", json!({"namespaces": [stage.namespace]})),
        ("mesh", json!({})),
        (
            "canary of the mesh",
            json!({"workload": {"matchLabels": {"app": "checkout"}}}),
        ),
    ];
    for (name, values) in scopes {
        let rendered = stage.install(values).await.unwrap();
        until_the_filter_counts(&stage, name).await;
        let scrape = stage.pod.scrape().await.unwrap();
        assert_eq!(scrape.count("plainsight_build_info", &[]), 1, "{name}");
        assert_eq!(scrape.sum("plainsight_config_errors", &[]), 0.0, "{name}");
        let errors = scrape.sum("plainsight_attribute_errors_total", &[]);
        assert_eq!(errors, 0.0, "{name}");
        stage.cluster.delete(&rendered).await.unwrap();
        stage
            .until_nothing_counts()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    // The drained filter chains hold the VM, and with it the metrics, for drainDuration: 45 s.
    eventually("the metrics are gone", || async {
        let left = stage.pod.scrape().await?.plainsight();
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

pub async fn traffic_extension_brings_the_same_filter(cluster: &Cluster) {
    let stage = stage(cluster).await;
    let rendered = stage
        .install(stage.canary_values(json!({"api": "TrafficExtension"})))
        .await
        .unwrap();
    assert_eq!(
        rendered.matches("kind: TrafficExtension").count(),
        2,
        "{rendered}"
    );
    until_the_filter_counts(&stage, "TrafficExtension").await;
}

/// How often the sidecar has replaced filter chains: each time it drains their connections.
async fn listener_changes(stage: &Stage<'_>) -> f64 {
    let scrape = stage.pod.scrape().await.unwrap();
    ["listener_modified", "listener_in_place_updated"]
        .map(|what| scrape.sum(&format!("envoy_listener_manager_{what}"), &[]))
        .iter()
        .sum()
}

async fn until_callers_get_the_header(stage: &Stage<'_>, name: &str) {
    eventually("the configuration is in force", || async {
        let reply = stage.call(&canary(), Port::Http).await?;
        anyhow::ensure!(reply.headers.contains_key(name), "{:?}", reply.headers);
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

pub async fn from_the_canary_on_nothing_drains_while_the_plugins_stay_in_their_namespace(
    cluster: &Cluster,
) {
    let stage = stage(cluster).await;
    // The API takes no plugin for a namespace that is not there.
    let pay = "{apiVersion: v1, kind: Namespace, metadata: {name: pay}}";
    cluster.apply(pay).await.unwrap();
    let header = |name: &str| json!({"responseHeader": name});
    let upgrades: [(&str, Value); 2] = [
        (
            "x-namespace",
            json!({"namespaces": [stage.namespace], "config": header("x-namespace")}),
        ),
        (
            "x-more",
            json!({"namespaces": [stage.namespace, "pay"], "config": header("x-more")}),
        ),
    ];
    let before = listener_changes(&stage).await;
    stage.install(stage.canary_values(json!({}))).await.unwrap();
    until_the_filter_counts(&stage, "canary").await;
    let installed = listener_changes(&stage).await;
    assert!(
        installed > before,
        "the install itself must show: {installed}"
    );
    for (name, values) in upgrades {
        stage.install(values).await.unwrap();
        until_callers_get_the_header(&stage, name).await;
        assert_eq!(listener_changes(&stage).await, installed, "{name}");
    }

    // The plugins move to the root namespace: one more drain, which the chart's notes announce.
    let of_namespace = stage
        .plugins(json!({"namespaces": [stage.namespace]}))
        .unwrap();
    stage
        .install(json!({"config": header("x-mesh")}))
        .await
        .unwrap();
    stage.cluster.delete(&of_namespace).await.unwrap();
    until_callers_get_the_header(&stage, "x-mesh").await;
    until_the_filter_counts(&stage, "mesh").await;
    assert!(
        listener_changes(&stage).await > installed,
        "the notes warn of a drain that there is not"
    );
}

pub async fn from_a_canary_of_the_mesh_to_the_mesh_nothing_drains(cluster: &Cluster) {
    let stage = stage(cluster).await;
    stage
        .install(json!({"workload": {"matchLabels": {"app": "checkout"}}}))
        .await
        .unwrap();
    until_the_filter_counts(&stage, "canary of the mesh").await;
    let installed = listener_changes(&stage).await;
    stage
        .install(json!({"config": {"responseHeader": "x-mesh"}}))
        .await
        .unwrap();
    until_callers_get_the_header(&stage, "x-mesh").await;
    assert_eq!(listener_changes(&stage).await, installed);
}

pub async fn the_scrape_job_takes_the_filters_series_and_no_others(cluster: &Cluster) {
    let stage = stage(cluster).await;
    stage.install(stage.canary_values(json!({}))).await.unwrap();
    until_the_filter_counts(&stage, "canary").await;
    let monitor = chart::render(&chart::folder(), &json!({"image": chart::any_image()})).unwrap();
    let monitor = plainsight_cluster::chart::documents(&monitor)
        .unwrap()
        .into_iter()
        .find(|object| object["kind"] == "PodMonitor")
        .unwrap();
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let filter = endpoint["params"]["filter"][0].as_str().unwrap();
    let path = format!("{}?filter={filter}", endpoint["path"].as_str().unwrap());
    let text = stage.pod.get_metrics(&path).await.unwrap();
    let names: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter(|line| !line.starts_with("plainsight_"))
        .collect();
    assert!(text.contains("plainsight_connections_total{"), "{text}");
    assert!(text.contains("plainsight_build_info{"), "{text}");
    assert_eq!(names, Vec::<&str>::new());
}

pub async fn another_workload_of_the_namespace_is_left_alone(cluster: &Cluster) {
    let stage = stage(cluster).await;
    let other = stage
        .plugins(
            json!({"namespaces": [stage.namespace], "workload": {"matchLabels": {"app": "other"}}}),
        )
        .unwrap()
        .replace("name: plainsight-", "name: other-");
    stage.cluster.apply(&other).await.unwrap();
    // Once the workload's own plugins are in force, istiod would have delivered the others too.
    stage.install(stage.canary_values(json!({}))).await.unwrap();
    until_the_filter_counts(&stage, "own").await;
    // Two plugins would count each connection twice.
    until_the_filter_counts(&stage, "own, again").await;
}

pub async fn the_agent_fetches_the_module_by_digest_from_the_registry(cluster: &Cluster) {
    let stage = stage(cluster).await;
    let rendered = stage.install(stage.canary_values(json!({}))).await.unwrap();
    assert_eq!(rendered.matches("@sha256:").count(), 2, "{rendered}");
    until_the_filter_counts(&stage, "canary").await;
    let fetched = stage.pod.fetched_modules().unwrap();
    let module = std::fs::read(plainsight_harness::module_path().unwrap()).unwrap();
    assert_eq!(fetched.len(), 1, "one module for both plugins: {fetched:?}");
    assert!(
        std::fs::read(&fetched[0]).unwrap() == module,
        "another module came than was pushed"
    );
}

/// The canary with a digest that the registry does not have.
fn with_wrong_digest(stage: &Stage<'_>, values: Value) -> String {
    let rendered = stage.plugins(stage.canary_values(values)).unwrap();
    let (_, digest) = rendered.split_once("@sha256:").unwrap();
    rendered.replace(&digest[..64], &"1".repeat(64))
}

pub async fn a_wrong_digest_leaves_the_traffic_alone_and_the_right_one_repairs_it(
    cluster: &Cluster,
) {
    let stage = stage(cluster).await;
    stage
        .cluster
        .apply(&with_wrong_digest(&stage, json!({})))
        .await
        .unwrap();
    eventually("the agent puts allow-all filters in", || async {
        let log = stage.sidecar_log();
        let gave_up = log.matches("applying allow RBAC filter").count();
        anyhow::ensure!(
            gave_up >= 2 && log.contains("MANIFEST_UNKNOWN"),
            "{gave_up} of 2: {log}"
        );
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    for port in Port::ALL {
        stage
            .call_in_a_row(port, true)
            .await
            .unwrap_or_else(|error| panic!("{error:#}\n{}", stage.sidecar_log()));
    }
    assert_eq!(
        stage.pod.scrape().await.unwrap().plainsight(),
        Vec::<String>::new()
    );
    assert!(stage.pod.fetched_modules().unwrap().is_empty());
    stage.install(stage.canary_values(json!({}))).await.unwrap();
    until_the_filter_counts(&stage, "the right digest").await;
}

// Why FAIL_OPEN is the default; also shows that the test above can fail.
pub async fn a_wrong_digest_denies_all_traffic_under_another_fail_strategy(cluster: &Cluster) {
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let stage = stage(cluster).await;
        let manifest = with_wrong_digest(&stage, json!({"failStrategy": strategy}));
        stage.cluster.apply(&manifest).await.unwrap();
        for port in Port::ALL {
            eventually(strategy, || stage.call_in_a_row(port, false))
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}
