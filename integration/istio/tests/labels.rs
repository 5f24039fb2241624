//! The filter's metrics under the bootstrap that Istio's agent renders from Istio's own template, in both label forms.

use plainsight_integration::eventually::eventually;
use plainsight_integration::shapes::STOCK_TAG_REGEXES;
use plainsight_istio_test::mesh::{LabelList, Port, caller_address};
use plainsight_istio_test::repository::root;
use plainsight_istio_test::stage::{Stage, canary, configured};
use serde_json::Value;

async fn stage(list: LabelList, configuration: &[&str]) -> Stage {
    Stage::start(list, configuration)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// The line of one metric for the canary's address, as Prometheus reads it.
async fn line(stage: &Stage, metric: &str) -> String {
    let text = stage.mesh.scrape_text().await.unwrap();
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

#[tokio::test]
async fn the_stock_form_is_one_label_on_a_stock_sidecar() {
    let stage = stage(LabelList::Stock, &["labels: stock"]).await;
    let address = caller_address(254);
    let of_caller = format!(
        "peer=plaintext,strict=reject,source_ip={address},destination_workload=checkout,\
         destination_workload_namespace=shop,destination_port=8080"
    );
    assert_eq!(
        line(&stage, "plainsight_connections_total").await,
        format!("plainsight_connections_total{{tag=\"{of_caller}\"}}")
    );
    assert_eq!(
        line(&stage, "plainsight_requests_total").await,
        format!("plainsight_requests_total{{tag=\"{of_caller},traffic=app\"}}")
    );
    let of_istio: Vec<(String, String)> = tags(&stage);
    let known: Vec<(String, String)> = STOCK_TAG_REGEXES
        .iter()
        .map(|(name, regex)| ((*name).to_owned(), (*regex).to_owned()))
        .collect();
    assert_eq!(
        of_istio, known,
        "the harness's list of Istio's regexes is not Istio's"
    );
}

#[tokio::test]
async fn the_native_form_is_real_labels_where_the_list_is_in_the_bootstrap() {
    let stage = stage(LabelList::Native, &["labels: native"]).await;
    let address = caller_address(254);
    let labels = |line: &str| -> Vec<String> {
        let inside = line.split_once('{').unwrap().1.trim_end_matches('}');
        let mut labels: Vec<_> = inside
            .split("\",")
            .map(|label| label.trim_end_matches('"').to_owned())
            .collect();
        labels.sort();
        labels
    };
    let mut wanted = vec![
        "peer=\"plaintext".to_owned(),
        "strict=\"reject".to_owned(),
        format!("source_ip=\"{address}"),
        "destination_workload=\"checkout".to_owned(),
        "destination_workload_namespace=\"shop".to_owned(),
        "destination_port=\"8080".to_owned(),
    ];
    wanted.sort();
    let connections = line(&stage, "plainsight_connections_total{").await;
    assert_eq!(labels(&connections), wanted);
    wanted.push("traffic=\"app".to_owned());
    wanted.sort();
    assert_eq!(
        labels(&line(&stage, "plainsight_requests_total{").await),
        wanted
    );
}

#[tokio::test]
async fn the_native_form_mangles_names_where_the_list_is_missing() {
    let stage = Stage::without_filter(LabelList::Stock)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let overlay = stage
        .mesh
        .overlay(&root().join("envoy-config/istio/overlays/workload"))
        .unwrap();
    stage
        .mesh
        .kubernetes
        .apply(&configured(&overlay, &["labels: native"]))
        .unwrap();
    let mangled = "peer___plaintext___strict___reject___source_ip___";
    eventually("the filter counts", || async {
        stage.mesh.call(&canary(), Port::Http.address()).await?;
        let text = stage.mesh.scrape_text().await?;
        anyhow::ensure!(text.contains(mangled), "{text}");
        anyhow::ensure!(!text.contains("peer=\""), "{text}");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

/// Names and regexes of `stats_tags` in the bootstrap in force.
fn tags(stage: &Stage) -> Vec<(String, String)> {
    let bootstrap = stage.sidecar.bootstrap().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tags = bootstrap["stats_config"]["stats_tags"].as_array().unwrap();
    tags.iter()
        .map(|tag| (text(&tag["tag_name"]), text(&tag["regex"])))
        .collect()
}
