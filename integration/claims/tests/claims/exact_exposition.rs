//! The exposition of a stock sidecar, byte for byte.

use plainsight_harness::callers::Caller;
use plainsight_harness::exposition::Scrape;
use serde_json::json;

use crate::scene::{CONNECTIONS, HEADER, LAST_SEEN, REQUESTS, Scene, mesh_client, plaintext_from};

#[tokio::test]
async fn a_plaintext_and_a_mutual_tls_request_are_one_line_each_with_the_stock_tags() {
    let scene = Scene::start(json!({})).await;
    let port = scene.http.label();
    for _ in 0..3 {
        let plain = Caller::http1("127.0.0.2")
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(
            plain.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")]
        );
        let mesh = Caller::http1("127.0.0.3")
            .over_mesh(scene.client())
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(mesh.header_seen_by_app(HEADER), [mesh_client()]);
    }
    scene
        .counted(REQUESTS, &[("peer", "mutual_tls")], 3.0)
        .await;
    scene
        .counted(CONNECTIONS, &[("peer", "mutual_tls")], 3.0)
        .await;

    let text = scene.envoy.get("/stats/prometheus").await.unwrap();
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("plainsight_"))
        // Last-seen times have their own test. The set of attributes is defined in the filter.
        .filter(|line| !line.starts_with(LAST_SEEN) && !is_zero_errors(line))
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

/// Whether the line is an attribute error counter at 0.
fn is_zero_errors(line: &str) -> bool {
    line.starts_with("plainsight_attribute_errors_total{tag=\"attribute=")
        && line.ends_with("\"} 0")
}

#[tokio::test]
async fn the_last_seen_time_is_now_for_a_connected_caller_and_absent_for_a_mutual_tls_peer() {
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
    let seen: Vec<_> = scrape.matching(LAST_SEEN, &[]).collect();
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
async fn the_timer_refreshes_the_last_seen_time_of_an_idle_open_connection() {
    let scene = Scene::start(json!({})).await;
    let mut connection = Caller::bytes("127.0.0.2")
        .connect(scene.tcp.address())
        .await
        .unwrap();
    connection.exchange("/").await.unwrap();
    let first = scene.envoy.scrape().await.unwrap();
    let seen = |scrape: &Scrape| scrape.sum(LAST_SEEN, &[("source_ip", "127.0.0.2")]);
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
}

/// The timer refreshes open connections only.
#[tokio::test]
async fn the_last_seen_time_of_a_closed_connection_is_not_refreshed() {
    let scene = Scene::start(json!({})).await;
    let call = Caller::bytes("127.0.0.2");
    call.call(scene.tcp.address()).await.unwrap();
    scene.envoy.idle().await.unwrap();
    let seen = |scrape: &Scrape, source| scrape.sum(LAST_SEEN, &[("source_ip", source)]);
    let mut open = Caller::bytes("127.0.0.3")
        .connect(scene.tcp.address())
        .await
        .unwrap();
    open.exchange("/").await.unwrap();
    // The first run of the timer may still include activity since the previous one.
    let mut scrapes = vec![scene.envoy.scrape().await.unwrap()];
    for _ in 0..2 {
        let last = scrapes.last().unwrap();
        let next = scene
            .envoy
            .scrape_until("the timer refreshes the open one", |later| {
                anyhow::ensure!(seen(later, "127.0.0.3") > seen(last, "127.0.0.3"));
                Ok(())
            })
            .await
            .unwrap();
        scrapes.push(next);
    }
    let closed = seen(&scrapes[1], "127.0.0.2");
    assert_eq!(seen(&scrapes[2], "127.0.0.2"), closed);
}
