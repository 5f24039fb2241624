//! A faulty configuration under every failure policy: Envoy starts, traffic flows, the problem is logged and counted.

use std::collections::BTreeMap;
use std::time::Instant;

use plainsight_harness::callers::Caller;
use plainsight_harness::shapes::{FailurePolicy, Plugin};
use serde_json::{Value, json};

use crate::scene::{CONFIG_ERRORS, REQUESTS, Scene, plaintext_from};

const POLICIES: [FailurePolicy; 3] = [
    FailurePolicy::Open,
    FailurePolicy::Closed,
    FailurePolicy::Reload,
];

/// Both plugins with the same text as configuration.
async fn scene_with(text: Option<&str>, policy: FailurePolicy) -> Scene {
    Scene::with(|sidecar| {
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
async fn every_problem_is_logged_with_its_path_and_traffic_flows() {
    let text = r#"{"maxCallers": "many", "callers": [{"cidr": "10.0.0/8", "name": "x"}], "unheardOf": 1, "exempt": [{"port": 70000}]}"#;
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
        // The same four problems in both plugins of the VM.
        assert_eq!(
            scrape.sum(CONFIG_ERRORS, &[]),
            4.0,
            "{policy:?}: {:#?}",
            scrape.plainsight()
        );
        let log = scene.envoy.log();
        for path in [
            "maxCallers: ",
            "callers[0].cidr: not a CIDR block: \"10.0.0/8\"",
            "unheardOf: ",
            "exempt[0].port: ",
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
async fn text_that_is_not_a_json_object_leaves_the_defaults_in_force() {
    for text in [
        "{",
        "",
        "[]",
        "null",
        "\u{0}\u{7f}",
        "{\"callers\": {\"callers\": []}}",
    ] {
        let scene = scene_with(Some(text), FailurePolicy::Closed).await;
        assert_eq!(
            scene.header_from(Caller::http1("127.0.0.2")).await,
            [plaintext_from("127.0.0.2")],
            "{text:?}"
        );
        let errors = scene.envoy.scrape().await.unwrap().sum(CONFIG_ERRORS, &[]);
        // An absent pluginConfig arrives as empty text or null and means the defaults.
        let expected = if ["", "null"].contains(&text) {
            0.0
        } else {
            1.0
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
            .matching(CONFIG_ERRORS, &[])
            .map(|sample| sample.value)
            .collect::<Vec<_>>(),
        [0.0]
    );
}

#[tokio::test]
async fn numbers_of_a_protobuf_struct_are_numbers() {
    let scene = scene_with(
        Some(r#"{"maxCallers": 1000.0, "exempt": [{"port": 8080.0}], "ipv4Prefix": 3.2e1}"#),
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
        scrape.sum(CONFIG_ERRORS, &[]),
        0.0,
        "{}",
        scene.envoy.log_tail()
    );
}

/// `count` unknown keys only.
fn unknown_keys(count: usize) -> String {
    let keys = (0..count).map(|key| (format!("key{key}"), json!(1)));
    Value::Object(keys.collect()).to_string()
}

/// Each VM may log ten problems and a summary. A worker has one VM, the main thread three: one that validates each
/// plugin's code and configuration, and one for its own contexts.
#[tokio::test]
async fn sixty_problems_log_at_most_eleven_lines_per_vm() {
    const WORKERS: usize = 4;
    let text = unknown_keys(60);
    let scene = Scene::with(|sidecar| {
        let plugin = |name| Plugin {
            configuration: Some(text.clone()),
            ..Plugin::plainsight(name, &json!({})).unwrap()
        };
        sidecar.network_plugins = vec![plugin("network")];
        sidecar.http_plugins = vec![plugin("http")];
        sidecar.concurrency = u32::try_from(WORKERS).unwrap();
    })
    .await;
    let log = scene.envoy.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("[wasm]")).collect();
    assert!(
        lines.iter().any(|line| line.contains("key0: ")),
        "{}",
        scene.envoy.log_tail()
    );
    let mut per_thread = BTreeMap::<&str, usize>::new();
    for line in &lines {
        // `[time][thread][level][component]`
        let thread = line.split("][").nth(1).unwrap();
        *per_thread.entry(thread).or_default() += 1;
    }
    assert!(
        per_thread.values().all(|lines| *lines <= 33)
            && per_thread.values().filter(|lines| **lines > 11).count() <= 1,
        "{per_thread:?}"
    );
    let scrape = scene.envoy.scrape().await.unwrap();
    assert_eq!(scrape.sum(CONFIG_ERRORS, &[]), 60.0);
}

/// 16 times as many unknown keys take at most 16 times as long, including the start of Envoy. With a quadratic
/// algorithm the ratio was 40, and 40,000 keys took 23 s.
#[tokio::test]
async fn unknown_keys_are_found_in_linear_time() {
    let (mut seconds, mut counted) = (Vec::new(), Vec::new());
    for keys in [2_500, 40_000] {
        let text = unknown_keys(keys);
        let started = Instant::now();
        let scene = scene_with(Some(&text), FailurePolicy::Open).await;
        seconds.push(started.elapsed().as_secs_f64());
        let scrape = scene.envoy.scrape().await.unwrap();
        counted.push(scrape.sum(CONFIG_ERRORS, &[]));
    }
    assert!(seconds[1] < 16.0 * seconds[0], "{seconds:?}");
    assert_eq!(counted, [2_500.0, 40_000.0]);
}
