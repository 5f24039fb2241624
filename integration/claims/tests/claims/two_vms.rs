//! Plugins in two VMs of one Envoy (different `vm_id`): `plainsight_config_errors` is the total number of problems in
//! force, and it follows the configuration.

use plainsight_harness::callers::Caller;
use plainsight_harness::shapes::{Plugin, Sidecar};
use serde_json::{Value, json};

use crate::scene::{CONFIG_ERRORS, Scene, plaintext_from};

fn plugins(sidecar: &mut Sidecar, first: &Value, second: &Value) {
    let plugin = |name, vm_id: &str, configuration| Plugin {
        vm_id: vm_id.to_owned(),
        ..Plugin::plainsight(name, configuration).unwrap()
    };
    sidecar.network_plugins = vec![plugin("network", "first", first)];
    sidecar.http_plugins = vec![plugin("http", "second", second)];
}

async fn config_errors(scene: &Scene, expected: f64) {
    scene.counted(CONFIG_ERRORS, &[], expected).await;
}

#[tokio::test]
async fn the_problems_of_two_vms_add_up_and_disappear_with_their_configuration() {
    let valid = json!({});
    let one = json!({"maxCallers": "many"});
    let two = json!({"unheardOf": 1, "ipv4Prefix": 33});
    let mut scene = Scene::with(|sidecar| {
        plugins(sidecar, &two, &one);
        sidecar.concurrency = 2;
    })
    .await;
    config_errors(&scene, 3.0).await;
    // A replaced configuration is in force until its plugin has missed some ticks, so this takes half a minute.
    plugins(&mut scene.sidecar, &valid, &two);
    scene.envoy.apply(&scene.sidecar).await.unwrap();
    config_errors(&scene, 2.0).await;
    // The HTTP plugin cannot see connections of the other VM and classifies the request alone.
    assert_eq!(
        scene.header_from(Caller::http1("127.0.0.2")).await,
        [plaintext_from("127.0.0.2")]
    );
}
