//! Four workers, four VMs, one cap and one set of series.

use plainsight_integration::callers::Caller;
use serde_json::json;

use crate::scene::{ACTIVE, CONNECTIONS, REQUESTS, Scene};

#[tokio::test]
async fn the_cap_on_callers_holds_over_all_workers_and_the_rest_is_counted_exactly() {
    let scene = Scene::bent(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({"maxCallers": 5}))
            .unwrap()
            .with_concurrency(4);
    })
    .await;
    const CALLERS: usize = 40;
    for round in 0..2 {
        for caller in 0..CALLERS {
            let source = format!("127.0.2.{}", caller + 1);
            Caller::http1(&source)
                .call(scene.http.address())
                .await
                .unwrap_or_else(|error| panic!("{round} {source}: {error:#}"));
        }
    }
    let total = 2.0 * CALLERS as f64;
    scene.counted(REQUESTS, &[], total).await;
    let scrape = scene.counted(CONNECTIONS, &[], total).await;
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(
            scrape.count(metric, &[]),
            6,
            "five callers and the overflow: {:#?}",
            scrape.plainsight()
        );
        assert_eq!(
            scrape.sum(metric, &[("source_ip", "overflow")]),
            total - 10.0,
            "{:#?}",
            scrape.plainsight()
        );
    }
    // Every connection and every request beyond the five.
    assert_eq!(
        scrape.sum("plainsight_overflow_total", &[]),
        2.0 * (total - 10.0),
        "{:#?}",
        scrape.plainsight()
    );
    scene.counted(ACTIVE, &[], 0.0).await;
}

#[tokio::test]
async fn one_caller_on_every_worker_is_one_series() {
    let scene = Scene::bent(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({}))
            .unwrap()
            .with_concurrency(4);
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        let mut connection = Caller::http1("127.0.0.2")
            .connect(scene.http.address())
            .await
            .unwrap();
        connection.exchange("/").await.unwrap();
        connections.push(connection);
    }
    let scrape = scene
        .counted(ACTIVE, &[("source_ip", "127.0.0.2")], 60.0)
        .await;
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(
            (scrape.count(metric, &[]), scrape.sum(metric, &[])),
            (1, 60.0),
            "{:#?}",
            scrape.plainsight()
        );
    }
    drop(connections);
    scene.counted(ACTIVE, &[], 0.0).await;
}
