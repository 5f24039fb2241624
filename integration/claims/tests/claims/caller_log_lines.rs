//! One JSON line at level warn for each new caller without mutual TLS.

use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::Envoy;
use serde_json::{Value, json};

use crate::scene::{CONNECTIONS, Scene};

/// The JSON objects that the plugins logged at level warn.
fn lines(envoy: &Envoy) -> Vec<Value> {
    envoy
        .log()
        .lines()
        .filter(|line| line.contains("[warning][wasm]"))
        .filter_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok())
        .collect()
}

#[tokio::test]
async fn each_new_plaintext_caller_is_logged_once_and_a_mutual_tls_peer_never() {
    let scene =
        Scene::start(json!({"callers": [{"cidr": "127.0.0.3/32", "name": "the \"cron\""}]})).await;
    for source in ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"] {
        Caller::bytes(source)
            .call(scene.tcp.address())
            .await
            .unwrap();
    }
    Caller::bytes("127.0.0.4")
        .over_mesh(scene.client())
        .call(scene.tcp.address())
        .await
        .unwrap();
    scene.counted(CONNECTIONS, &[], 5.0).await;
    let lines = lines(&scene.envoy);
    assert_eq!(lines.len(), 2, "{lines:#?}\n{}", scene.envoy.log_tail());
    for (line, source) in lines.iter().zip(["127.0.0.2", "127.0.0.3"]) {
        assert_eq!(line["source_ip"], source, "{line}");
        assert_eq!(line["peer"], "plaintext", "{line}");
        assert_eq!(line["strict"], "reject", "{line}");
        assert_eq!(
            line["destination_port"].to_string().trim_matches('"'),
            scene.tcp.label(),
            "{line}"
        );
    }
    assert_eq!(lines[1]["source_name"], "the \"cron\"");
}

#[tokio::test]
async fn the_lines_can_be_turned_off() {
    let scene = Scene::start(json!({"logCallers": false})).await;
    Caller::bytes("127.0.0.2")
        .call(scene.tcp.address())
        .await
        .unwrap();
    scene.counted(CONNECTIONS, &[], 1.0).await;
    assert_eq!(lines(&scene.envoy), Vec::<Value>::new());
}
