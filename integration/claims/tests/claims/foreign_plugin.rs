//! Other Wasm plugins in the same proxy, with Istio's empty `vm_id`.

use std::path::PathBuf;

use plainsight_harness::callers::Caller;
use plainsight_harness::shapes::Plugin;
use serde_json::json;

use crate::scene::{
    ATTRIBUTE_ERRORS, CONNECTIONS, HEADER, REQUESTS, Scene, mesh_client, plaintext_from,
};

/// A foreign plugin: adds the header `x-foreign: yes` to each request, and writes shared data under the key
/// `plainsight` (all plugins with the empty `vm_id` share one key space).
const FOREIGN: &str = r#"(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $share (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (data (i32.const 16) "x-foreign")
  (data (i32.const 32) "yes")
  (data (i32.const 48) "plainsight")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $share (i32.const 48) (i32.const 10) (i32.const 32) (i32.const 3) (i32.const 0)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 32) (i32.const 3)))
    (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))"#;

#[tokio::test]
async fn plainsight_and_a_foreign_plugin_both_work() {
    let folder = tempfile::tempdir().unwrap();
    let module: PathBuf = folder.path().join("foreign.wasm");
    std::fs::write(&module, wat::parse_str(FOREIGN).unwrap()).unwrap();
    let scene = Scene::with(|sidecar| {
        let foreign = Plugin {
            module,
            ..Plugin::plainsight("foreign", &json!({})).unwrap()
        };
        *sidecar = sidecar.clone().with_plainsight(json!({})).unwrap();
        sidecar.http_plugins.push(foreign);
        sidecar.concurrency = 2;
    })
    .await;
    for _ in 0..4 {
        let reply = Caller::http1("127.0.0.2")
            .call(scene.http.address())
            .await
            .unwrap();
        assert_eq!(
            reply.header_seen_by_app("x-foreign"),
            ["yes"],
            "{}",
            scene.envoy.log_tail()
        );
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")]
        );
    }
    scene
        .counted(REQUESTS, &[("source_ip", "127.0.0.2")], 4.0)
        .await;
    let scrape = scene
        .counted(CONNECTIONS, &[("source_ip", "127.0.0.2")], 4.0)
        .await;
    assert_eq!(scrape.sum(ATTRIBUTE_ERRORS, &[]), 0.0);
}

#[tokio::test]
async fn plugins_with_different_settings_on_different_ports_share_the_vm_and_keep_their_settings() {
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar
            .clone()
            .with_plainsight(json!({"requestHeader": "x-first"}))
            .unwrap();
    })
    .await;
    let reply = Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    assert_eq!(
        reply.header_seen_by_app("x-first"),
        [plaintext_from("127.0.0.2")]
    );
    let mut scene = scene;
    scene.sidecar.network_plugins.clear();
    scene.sidecar.http_plugins.clear();
    scene.sidecar = scene
        .sidecar
        .with_plainsight(json!({"requestHeader": "x-second"}))
        .unwrap();
    scene.envoy.apply(&scene.sidecar).await.unwrap();
    let reply = Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    assert_eq!(
        reply.header_seen_by_app("x-second"),
        [plaintext_from("127.0.0.2")]
    );
    assert_eq!(reply.header_seen_by_app("x-first"), [""; 0]);
    scene
        .counted(REQUESTS, &[("source_ip", "127.0.0.2")], 2.0)
        .await;
}

/// An installation error, such as one plugin for the mesh and another for the namespace: both count, with the same
/// verdict.
#[tokio::test]
async fn plainsight_installed_twice_counts_twice_with_the_same_verdict() {
    let scene = Scene::with(|sidecar| {
        let once = sidecar.clone().with_plainsight(json!({})).unwrap();
        *sidecar = once.with_plainsight(json!({})).unwrap();
    })
    .await;
    assert_eq!(
        scene.header_from(Caller::http1("127.0.0.2")).await,
        [plaintext_from("127.0.0.2")]
    );
    assert_eq!(
        scene
            .header_from(Caller::http1("127.0.0.3").over_mesh(scene.client()))
            .await,
        [mesh_client()]
    );
    for metric in [CONNECTIONS, REQUESTS] {
        scene
            .counted(
                metric,
                &[("peer", "plaintext"), ("source_ip", "127.0.0.2")],
                2.0,
            )
            .await;
        let scrape = scene.counted(metric, &[("peer", "mutual_tls")], 2.0).await;
        assert_eq!(scrape.count(metric, &[]), 2, "{:#?}", scrape.plainsight());
    }
}
