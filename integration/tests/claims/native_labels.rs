//! `labels: native` with the `extraStatTags` that the filter's own table lists: real labels.

use plainsight::metrics::LABELS;
use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, REQUESTS, Scene};

#[tokio::test]
async fn every_label_is_a_label_of_its_own() {
    let scene = Scene::bent(|sidecar| {
        let configuration = json!({"labels": "native", "callers": [{"cidr": "127.0.0.0/24", "name": "legacy vms"}], "principals": true});
        *sidecar = sidecar.clone().with_plainsight(configuration).unwrap();
        sidecar.extra_stat_tags = LABELS.iter().map(|(_, name, _)| (*name).to_owned()).collect();
    })
    .await;
    let port = scene.http.label();
    Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    Caller::http1("127.0.0.3")
        .over_mesh(scene.client())
        .call(scene.http.address())
        .await
        .unwrap();
    scene.counted(CONNECTIONS, &[], 2.0).await;
    scene.counted(REQUESTS, &[], 2.0).await;
    let text = scene.envoy.get("/stats/prometheus").await.unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("plainsight_requests_total{"))
        .collect();
    lines.sort_unstable();
    let scrape = plainsight_integration::exposition::Scrape::parse(&lines.join("\n")).unwrap();
    assert!(
        !text.contains("plainsight") || !lines.iter().any(|line| line.contains("tag=")),
        "{lines:#?}"
    );
    assert_eq!(
        scrape.plainsight(),
        [
            format!(
                "plainsight_requests_total{{destination_port=\"{port}\",destination_workload=\"orders\",\
                 destination_workload_namespace=\"legacy\",peer=\"mutual_tls\",\
                 source_principal=\"spiffe://cluster.local/ns/shop/sa/web\",strict=\"allow\"}} 1"
            ),
            format!(
                "plainsight_requests_total{{destination_port=\"{port}\",destination_workload=\"orders\",\
                 destination_workload_namespace=\"legacy\",peer=\"plaintext\",source_ip=\"127.0.0.2\",\
                 source_name=\"legacy vms\",strict=\"reject\",traffic=\"app\"}} 1"
            ),
        ]
    );
}
