//! Real istiod, Istio's agent and a real Envoy: how the project's own manifests bring the filter, and take it away.

use std::path::{Path, PathBuf};

use plainsight_integration::eventually::eventually;
use plainsight_istio_test::mesh::{LabelList, Port, with_image};
use plainsight_istio_test::program::kustomize;
use plainsight_istio_test::repository::root;
use plainsight_istio_test::stage::Stage;

fn overlay(name: &str) -> PathBuf {
    root().join("envoy-config/istio/overlays").join(name)
}

async fn stage() -> Stage {
    Stage::without_filter(LabelList::Stock)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn every_overlay_brings_the_filter_to_every_port_and_its_removal_takes_it_away() {
    let stage = stage().await;
    stage.until_nothing_counts().await.unwrap();
    for name in ["workload", "namespace", "mesh"] {
        let rendered = stage.mesh.overlay(&overlay(name)).unwrap();
        stage.mesh.kubernetes.apply(&rendered).unwrap();
        stage
            .until_the_filter_counts()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        stage.mesh.kubernetes.delete(&rendered).unwrap();
        stage
            .until_nothing_counts()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    let scrape = stage.mesh.scrape().await.unwrap();
    assert_eq!(scrape.sum("plainsight_config_errors", &[]), 0.0);
    assert_eq!(scrape.sum("plainsight_attribute_errors_total", &[]), 0.0);
}

#[tokio::test]
async fn traffic_extension_brings_the_same_filter() {
    let stage = stage().await;
    // What the overlay's comment says: the other base.
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("envoy-config/istio"), folder.path());
    let file = folder.path().join("overlays/workload/kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("- ../../wasmplugin #"), "{text}");
    std::fs::write(
        &file,
        text.replace("- ../../wasmplugin #", "- ../../trafficextension #"),
    )
    .unwrap();
    let rendered = stage.mesh.overlay(file.parent().unwrap()).unwrap();
    assert_eq!(
        rendered.matches("kind: TrafficExtension").count(),
        2,
        "{rendered}"
    );
    stage.mesh.kubernetes.apply(&rendered).unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn another_workload_of_the_namespace_is_left_alone() {
    let stage = stage().await;
    let rendered = stage.mesh.overlay(&overlay("workload")).unwrap();
    let other = rendered
        .replace("app: checkout", "app: other")
        .replace("plainsight-", "other-");
    stage.mesh.kubernetes.apply(&other).unwrap();
    // Its own plugin follows: once that one is at work, istiod has told all that there is to tell.
    let own = rendered.replace(
        "pluginConfig:\n    labels: stock",
        "pluginConfig:\n    maxCallers: 7",
    );
    stage.mesh.kubernetes.apply(&own).unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    // Two plugins would count each connection twice.
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn the_agent_fetches_the_module_by_digest_from_the_registry() {
    let stage = stage().await;
    assert!(stage.mesh.image().contains("@sha256:"));
    stage
        .mesh
        .kubernetes
        .apply(&stage.mesh.overlay(&overlay("workload")).unwrap())
        .unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let fetched = stage.sidecar.fetched_modules().unwrap();
    let module = std::fs::read(plainsight_integration::module_path().unwrap()).unwrap();
    assert_eq!(fetched.len(), 1, "one module for both plugins: {fetched:?}");
    assert!(
        std::fs::read(&fetched[0]).unwrap() == module,
        "another module came than was pushed"
    );
}

/// The overlay of one workload with a digest that the registry does not have.
fn with_wrong_digest(stage: &Stage) -> String {
    let (image, _) = stage.mesh.image().split_once("@sha256:").unwrap();
    let wrong = format!("{image}@sha256:{}", "1".repeat(64));
    with_image(&kustomize(&overlay("workload")).unwrap(), &wrong)
}

#[tokio::test]
async fn a_wrong_digest_leaves_the_traffic_alone_and_the_right_one_repairs_it() {
    let stage = stage().await;
    stage
        .mesh
        .kubernetes
        .apply(&with_wrong_digest(&stage))
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
    stage
        .mesh
        .kubernetes
        .apply(&stage.mesh.overlay(&overlay("workload")).unwrap())
        .unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

// Why the manifests say FAIL_OPEN, and the proof that the test above can fail.
#[tokio::test]
async fn a_wrong_digest_denies_all_traffic_under_another_fail_strategy() {
    for strategy in ["FAIL_CLOSE", "FAIL_RELOAD"] {
        let stage = stage().await;
        let manifest = with_wrong_digest(&stage).replace(
            "failStrategy: FAIL_OPEN",
            &format!("failStrategy: {strategy}"),
        );
        stage.mesh.kubernetes.apply(&manifest).unwrap();
        for port in Port::ALL {
            eventually(strategy, || stage.call_in_a_row(port, false))
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}
