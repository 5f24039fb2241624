//! A faulty configuration under every failure policy: Envoy starts, traffic flows, the fault is told.

use plainsight_integration::callers::Caller;
use plainsight_integration::shapes::{FailurePolicy, Plugin};
use serde_json::json;

use crate::scene::{HEADER, REQUESTS, Scene, plaintext_from};

const POLICIES: [FailurePolicy; 3] = [
    FailurePolicy::Open,
    FailurePolicy::Closed,
    FailurePolicy::Reload,
];

/// Both plugins with the same text as configuration.
async fn scene_with(text: Option<&str>, policy: FailurePolicy) -> Scene {
    Scene::bent(|sidecar| {
        let plugin = |name| Plugin {
            configuration: text.map(str::to_owned),
            ..Plugin::plainsight(name, &json!({}))
                .unwrap()
                .failing(policy)
        };
        sidecar.network_plugins = vec![plugin("network")];
        sidecar.http_plugins = vec![plugin("http")];
    })
    .await
}

#[tokio::test]
async fn every_problem_is_told_with_its_path_and_traffic_flows() {
    let text = r#"{"maxCallers": "many", "callers": [{"cidr": "10.0.0/8", "name": "x"}], "unheardOf": 1, "exemptPorts": [70000]}"#;
    for policy in POLICIES {
        let scene = scene_with(Some(text), policy).await;
        for caller in [
            Caller::http1("127.0.0.2"),
            Caller::http2("127.0.0.2").over_mesh(scene.client()),
        ] {
            caller
                .call(scene.http.address())
                .await
                .unwrap_or_else(|error| panic!("{policy:?}: {error:#}"));
        }
        Caller::bytes("127.0.0.2")
            .call(scene.tcp.address())
            .await
            .unwrap();
        let scrape = scene
            .counted(REQUESTS, &[("source_ip", "127.0.0.2")], 1.0)
            .await;
        // Four problems in each of the two plugins.
        assert_eq!(
            scrape.sum("plainsight_config_errors", &[]),
            8.0,
            "{policy:?}: {:#?}",
            scrape.plainsight()
        );
        let log = scene.envoy.log();
        for path in [
            "maxCallers: ",
            "callers[0].cidr: not a CIDR block: \"10.0.0/8\"",
            "unheardOf: ",
            "exemptPorts[0]: ",
        ] {
            assert!(
                log.contains(path),
                "{policy:?}: no line with {path}:\n{}",
                scene.envoy.log_tail()
            );
        }
    }
}

#[tokio::test]
async fn text_that_is_no_json_object_leaves_the_defaults_in_force() {
    for text in [
        "{",
        "",
        "[]",
        "null",
        "\u{0}\u{7f}",
        "{\"labels\": {\"labels\": []}}",
    ] {
        let scene = scene_with(Some(text), FailurePolicy::Closed).await;
        let reply = Caller::http1("127.0.0.2")
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")],
            "{text:?}"
        );
        let errors = scene
            .envoy
            .scrape()
            .await
            .unwrap()
            .sum("plainsight_config_errors", &[]);
        // Nothing at all is the default configuration: that is what an absent pluginConfig comes as.
        let expected = if ["", "null"].contains(&text) {
            0.0
        } else {
            2.0
        };
        assert_eq!(errors, expected, "{text:?}");
    }
}

#[tokio::test]
async fn an_absent_configuration_is_valid() {
    let scene = scene_with(None, FailurePolicy::Closed).await;
    Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    let scrape = scene
        .counted(REQUESTS, &[("source_ip", "127.0.0.2")], 1.0)
        .await;
    assert_eq!(
        scrape
            .matching("plainsight_config_errors", &[])
            .map(|sample| sample.value)
            .collect::<Vec<_>>(),
        [0.0]
    );
}

#[tokio::test]
async fn numbers_of_a_protobuf_struct_are_numbers() {
    let scene = scene_with(
        Some(r#"{"maxCallers": 1000.0, "exemptPorts": [8080.0], "ipv4Prefix": 3.2e1}"#),
        FailurePolicy::Open,
    )
    .await;
    Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    let scrape = scene
        .counted(REQUESTS, &[("source_ip", "127.0.0.2")], 1.0)
        .await;
    assert_eq!(
        scrape.sum("plainsight_config_errors", &[]),
        0.0,
        "{}",
        scene.envoy.log_tail()
    );
}
