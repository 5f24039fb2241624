//! Real istiod, Istio's agent and a real Envoy: how the chart installs the filter, changes it and removes it.

use plainsight_harness::eventually::eventually;
use plainsight_cluster::chart;
use plainsight_cluster::mesh::Port;
use plainsight_cluster::stage::{Stage, canary, canary_values};
use serde_json::{Value, json};

async fn stage() -> Stage {
    Stage::without_filter()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}

async fn until_the_filter_counts(stage: &Stage, what: &str) {
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));
}

#[tokio::test]
async fn every_scope_brings_the_filter_to_every_port_and_its_removal_takes_it_away() {
    let stage = stage().await;
    stage.until_nothing_counts().await.unwrap();
    let scopes = [
        ("canary", canary_values(json!({}))),
        ("namespace", json!({"namespaces": ["shop"]})),
        ("mesh", json!({})),
        (
            "canary of the mesh",
            json!({"workload": {"matchLabels": {"app": "checkout"}}}),
        ),
    ];
    for (name, values) in scopes {
        let rendered = stage.install(values).unwrap();
        until_the_filter_counts(&stage, name).await;
        let scrape = stage.mesh.scrape().await.unwrap();
        assert_eq!(scrape.count("plainsight_build_info", &[]), 1, "{name}");
        assert_eq!(scrape.sum("plainsight_config_errors", &[]), 0.0, "{name}");
        let errors = scrape.sum("plainsight_attribute_errors_total", &[]);
        assert_eq!(errors, 0.0, "{name}");
        stage.mesh.kubernetes.delete(&rendered).unwrap();
        stage
            .until_nothing_counts()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    // The drained filter chains hold the VM, and with it the metrics, for drainDuration: 45 s.
    eventually("the metrics are gone", || async {
        let left = stage.mesh.scrape().await?.plainsight();
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn traffic_extension_brings_the_same_filter() {
    let stage = stage().await;
    let rendered = stage
        .install(canary_values(json!({"api": "TrafficExtension"})))
        .unwrap();
    assert_eq!(
        rendered.matches("kind: TrafficExtension").count(),
        2,
        "{rendered}"
    );
    until_the_filter_counts(&stage, "TrafficExtension").await;
}

/// How often the sidecar has replaced filter chains: each time it drains their connections.
async fn listener_changes(stage: &Stage) -> f64 {
    let scrape = stage.mesh.scrape().await.unwrap();
    ["listener_modified", "listener_in_place_updated"]
        .map(|what| scrape.sum(&format!("envoy_listener_manager_{what}"), &[]))
        .iter()
        .sum()
}

async fn until_callers_get_the_header(stage: &Stage, name: &str) {
    eventually("the configuration is in force", || async {
        let reply = stage.mesh.call(&canary(), Port::Http.address()).await?;
        anyhow::ensure!(reply.headers.contains_key(name), "{:?}", reply.headers);
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn from_the_canary_on_nothing_drains_while_the_plugins_stay_in_their_namespace() {
    let stage = stage().await;
    let header = |name: &str| json!({"responseHeader": name});
    let upgrades: [(&str, Value); 2] = [
        (
            "x-namespace",
            json!({"namespaces": ["shop"], "config": header("x-namespace")}),
        ),
        (
            "x-more",
            json!({"namespaces": ["shop", "pay"], "config": header("x-more")}),
        ),
    ];
    let before = listener_changes(&stage).await;
    stage.install(canary_values(json!({}))).unwrap();
    until_the_filter_counts(&stage, "canary").await;
    let installed = listener_changes(&stage).await;
    assert!(
        installed > before,
        "the install itself must show: {installed}"
    );
    for (name, values) in upgrades {
        stage.install(values).unwrap();
        until_callers_get_the_header(&stage, name).await;
        assert_eq!(listener_changes(&stage).await, installed, "{name}");
    }

    // The plugins move to the root namespace: one more drain, which the chart's notes announce.
    let of_namespace = stage.mesh.plugins(json!({"namespaces": ["shop"]})).unwrap();
    stage.install(json!({"config": header("x-mesh")})).unwrap();
    stage.mesh.kubernetes.delete(&of_namespace).unwrap();
    until_callers_get_the_header(&stage, "x-mesh").await;
    until_the_filter_counts(&stage, "mesh").await;
    assert!(
        listener_changes(&stage).await > installed,
        "the notes warn of a drain that there is not"
    );
}

#[tokio::test]
async fn from_a_canary_of_the_mesh_to_the_mesh_nothing_drains() {
    let stage = stage().await;
    stage
        .install(json!({"workload": {"matchLabels": {"app": "checkout"}}}))
        .unwrap();
    until_the_filter_counts(&stage, "canary of the mesh").await;
    let installed = listener_changes(&stage).await;
    stage
        .install(json!({"config": {"responseHeader": "x-mesh"}}))
        .unwrap();
    until_callers_get_the_header(&stage, "x-mesh").await;
    assert_eq!(listener_changes(&stage).await, installed);
}

#[tokio::test]
async fn the_scrape_job_takes_the_filters_series_and_no_others() {
    let stage = stage().await;
    stage.install(canary_values(json!({}))).unwrap();
    until_the_filter_counts(&stage, "canary").await;
    let monitor = chart::render(&chart::folder(), &json!({"image": chart::any_image()})).unwrap();
    let monitor = plainsight_cluster::kubernetes::documents(&monitor)
        .unwrap()
        .into_iter()
        .find(|object| object["kind"] == "PodMonitor")
        .unwrap();
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let filter = endpoint["params"]["filter"][0].as_str().unwrap();
    let path = format!("{}?filter={filter}", endpoint["path"].as_str().unwrap());
    let text = stage.mesh.get_metrics(&path).await.unwrap();
    let names: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter(|line| !line.starts_with("plainsight_"))
        .collect();
    assert!(text.contains("plainsight_connections_total{"), "{text}");
    assert!(text.contains("plainsight_build_info{"), "{text}");
    assert_eq!(names, Vec::<&str>::new());
}

#[tokio::test]
async fn another_workload_of_the_namespace_is_left_alone() {
    let stage = stage().await;
    let other = stage
        .mesh
        .plugins(json!({"namespaces": ["shop"], "workload": {"matchLabels": {"app": "other"}}}))
        .unwrap()
        .replace("name: plainsight-", "name: other-");
    stage.mesh.kubernetes.apply(&other).unwrap();
    // Once the workload's own plugins are in force, istiod would have delivered the others too.
    stage.install(canary_values(json!({}))).unwrap();
    until_the_filter_counts(&stage, "own").await;
    // Two plugins would count each connection twice.
    until_the_filter_counts(&stage, "own, again").await;
}

#[tokio::test]
async fn the_agent_fetches_the_module_by_digest_from_the_registry() {
    let stage = stage().await;
    let rendered = stage.install(canary_values(json!({}))).unwrap();
    assert_eq!(rendered.matches("@sha256:").count(), 2, "{rendered}");
    until_the_filter_counts(&stage, "canary").await;
    let fetched = stage.sidecar.fetched_modules().unwrap();
    let module = std::fs::read(plainsight_harness::module_path().unwrap()).unwrap();
    assert_eq!(fetched.len(), 1, "one module for both plugins: {fetched:?}");
    assert!(
        std::fs::read(&fetched[0]).unwrap() == module,
        "another module came than was pushed"
    );
}

/// The canary with a digest that the registry does not have.
fn with_wrong_digest(stage: &Stage, values: Value) -> String {
    let rendered = stage.mesh.plugins(canary_values(values)).unwrap();
    let (_, digest) = rendered.split_once("@sha256:").unwrap();
    rendered.replace(&digest[..64], &"1".repeat(64))
}

#[tokio::test]
async fn a_wrong_digest_leaves_the_traffic_alone_and_the_right_one_repairs_it() {
    let stage = stage().await;
    stage
        .mesh
        .kubernetes
        .apply(&with_wrong_digest(&stage, json!({})))
        .unwrap();
    eventually("the agent puts allow-all filters in", || async {
        let log = stage.sidecar.log();
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
            .unwrap_or_else(|error| panic!("{error:#}\n{}", stage.sidecar.log()));
    }
    assert_eq!(
        stage.mesh.scrape().await.unwrap().plainsight(),
        Vec::<String>::new()
    );
    assert!(stage.sidecar.fetched_modules().unwrap().is_empty());
    stage.install(canary_values(json!({}))).unwrap();
    until_the_filter_counts(&stage, "the right digest").await;
}

// Why FAIL_OPEN is the default; also shows that the test above can fail.
#[tokio::test]
async fn a_wrong_digest_denies_all_traffic_under_another_fail_strategy() {
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let stage = stage().await;
        let manifest = with_wrong_digest(&stage, json!({"failStrategy": strategy}));
        stage.mesh.kubernetes.apply(&manifest).unwrap();
        for port in Port::ALL {
            eventually(strategy, || stage.call_in_a_row(port, false))
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}
