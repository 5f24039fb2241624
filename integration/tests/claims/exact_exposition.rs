//! The line an operator reads, byte for byte, on a stock sidecar.

use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{ACTIVE, CONNECTIONS, REQUESTS, Scene, mesh_client, plaintext_from};

#[tokio::test]
async fn a_plain_request_and_a_mutual_tls_request_are_one_line_each_under_the_stock_tags() {
    let scene = Scene::start(json!({})).await;
    let port = scene.http.label();
    for _ in 0..3 {
        let plain = Caller::http1("127.0.0.2")
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(
            plain.header_seen_by_app("x-plainsight-peer"),
            [plaintext_from("127.0.0.2")]
        );
        let mesh = Caller::http1("127.0.0.3")
            .over_mesh(scene.client())
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(
            mesh.header_seen_by_app("x-plainsight-peer"),
            [mesh_client()]
        );
    }
    scene
        .counted(REQUESTS, &[("peer", "mutual_tls")], 3.0)
        .await;
    scene
        .counted(CONNECTIONS, &[("peer", "mutual_tls")], 3.0)
        .await;
    scene.counted(ACTIVE, &[], 0.0).await;

    let text = scene.envoy.get("/stats/prometheus").await.unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("plainsight_") && !line.starts_with("plainsight_last_seen"))
        .collect();
    lines.sort_unstable();
    let destination = format!(
        "destination_workload=orders,destination_workload_namespace=legacy,destination_port={port}"
    );
    let plain = format!("peer=plaintext,strict=reject,source_ip=127.0.0.2,{destination}");
    let mesh = format!("peer=mutual_tls,strict=allow,{destination}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines,
        [
            format!("plainsight_active_connections{{tag=\"{plain}\"}} 0"),
            "plainsight_attribute_errors_total{} 0".to_owned(),
            format!("plainsight_build_info{{tag=\"version={version}\"}} 1"),
            "plainsight_config_errors{} 0".to_owned(),
            format!("plainsight_connections_total{{tag=\"{mesh}\"}} 3"),
            format!("plainsight_connections_total{{tag=\"{plain}\"}} 3"),
            "plainsight_overflow_total{} 0".to_owned(),
            format!("plainsight_requests_total{{tag=\"{mesh}\"}} 3"),
            format!("plainsight_requests_total{{tag=\"{plain},traffic=app\"}} 3"),
        ]
    );
}

#[tokio::test]
async fn the_last_seen_time_is_now_for_a_caller_that_is_here_and_absent_for_a_mutual_tls_peer() {
    let scene = Scene::start(json!({})).await;
    let seconds = || {
        std::time::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs_f64()
            .floor()
    };
    let before = seconds();
    Caller::bytes("127.0.0.2")
        .call(scene.tcp.address())
        .await
        .unwrap();
    Caller::bytes("127.0.0.3")
        .over_mesh(scene.client())
        .call(scene.tcp.address())
        .await
        .unwrap();
    let scrape = scene.counted(CONNECTIONS, &[], 2.0).await;
    let seen: Vec<_> = scrape
        .matching("plainsight_last_seen_timestamp_seconds", &[])
        .collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].label("source_ip"), Some("127.0.0.2"));
    assert!(
        (before..=seconds()).contains(&seen[0].value),
        "{before} <= {} <= {}",
        seen[0].value,
        seconds()
    );
}

#[tokio::test]
async fn an_idle_connection_that_stays_open_is_seen_again_and_counted_as_active() {
    let scene = Scene::start(json!({})).await;
    let mut connection = Caller::bytes("127.0.0.2")
        .connect(scene.tcp.address())
        .await
        .unwrap();
    connection.exchange("/").await.unwrap();
    let first = scene
        .counted(ACTIVE, &[("source_ip", "127.0.0.2")], 1.0)
        .await;
    let seen = |scrape: &plainsight_integration::exposition::Scrape| {
        scrape.sum(
            "plainsight_last_seen_timestamp_seconds",
            &[("source_ip", "127.0.0.2")],
        )
    };
    scene
        .envoy
        .scrape_until("the timer refreshes the last-seen time", |later| {
            anyhow::ensure!(
                seen(later) > seen(&first),
                "{} > {}",
                seen(later),
                seen(&first)
            );
            Ok(())
        })
        .await
        .unwrap();
    drop(connection);
    scene
        .counted(ACTIVE, &[("source_ip", "127.0.0.2")], 0.0)
        .await;
}
