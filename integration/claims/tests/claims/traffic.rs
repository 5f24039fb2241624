//! `traffic`: the first request of a connection decides, and application traffic is never hidden as a probe.

use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, REQUESTS, Scene};

const PROBE: &str = "kube-probe/1.31";
const SCRAPE: &str = "Prometheus/2.53.0";
const APP: &str = "curl/8.5";

#[tokio::test]
async fn a_connection_keeps_the_traffic_of_its_first_request_until_an_application_request() {
    let scene = Scene::start(json!({})).await;
    // A caller, the User-Agents of its requests on one connection, and what must be counted: app, probe, scrape.
    let connections: [(&str, &[&str], [f64; 3]); 6] = [
        ("127.0.0.2", &[APP, APP], [2.0, 0.0, 0.0]),
        ("127.0.0.3", &[PROBE, PROBE], [0.0, 2.0, 0.0]),
        ("127.0.0.4", &[SCRAPE, SCRAPE], [0.0, 0.0, 2.0]),
        // A probe that shares an application's connection counts as the application.
        ("127.0.0.5", &[APP, PROBE, SCRAPE], [3.0, 0.0, 0.0]),
        ("127.0.0.6", &[PROBE, PROBE, APP, PROBE], [2.0, 2.0, 0.0]),
        ("127.0.0.7", &[SCRAPE, APP, SCRAPE, APP], [3.0, 0.0, 1.0]),
    ];
    for (source, agents, _) in connections {
        let caller = Caller::http1(source);
        let mut connection = caller.connect(scene.http.address()).await.unwrap();
        for agent in agents {
            connection.set_header("user-agent", agent);
            connection.exchange("/").await.unwrap();
        }
    }
    let scrape = scene.counted(REQUESTS, &[], 17.0).await;
    for (source, agents, expected) in connections {
        let counted = ["app", "probe", "scrape"]
            .map(|traffic| scrape.sum(REQUESTS, &[("source_ip", source), ("traffic", traffic)]));
        assert_eq!(counted, expected, "{agents:?}: {:#?}", scrape.plainsight());
    }
    assert!(
        scrape
            .matching(CONNECTIONS, &[])
            .all(|sample| sample.label("traffic").is_none())
    );
}

#[tokio::test]
async fn traffic_is_decided_per_connection_and_absent_on_mutual_tls() {
    let scene = Scene::start(json!({})).await;
    for agent in [PROBE, APP, PROBE] {
        let caller = Caller::http2("127.0.0.2").with_header("user-agent", agent);
        caller.call(scene.http.address()).await.unwrap();
    }
    let caller = Caller::http1("127.0.0.3").with_header("user-agent", PROBE);
    let caller = caller.over_mesh(scene.client());
    caller.call(scene.http.address()).await.unwrap();
    let scrape = scene.counted(REQUESTS, &[], 4.0).await;
    for (traffic, requests) in [("probe", 2.0), ("app", 1.0)] {
        let labels = [("source_ip", "127.0.0.2"), ("traffic", traffic)];
        assert_eq!(scrape.sum(REQUESTS, &labels), requests, "{labels:?}");
    }
    let mesh = scrape.matching(REQUESTS, &[("peer", "mutual_tls")]);
    assert!(
        mesh.into_iter()
            .all(|sample| sample.label("traffic").is_none())
    );
}
