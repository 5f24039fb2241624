//! Values that match Istio's stock regexes or contain label separators arrive intact and in their own label.

use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONNECTIONS, Scene};

/// SPIFFE ids that an authority may sign, and their label values.
const PRINCIPALS: [(&str, &str); 4] = [
    (
        "spiffe://cache.example.com/ns/a/sa/b",
        "spiffe://cache%2Eexample%2Ecom/ns/a/sa/b",
    ),
    (
        "spiffe://x/ns/rbac.allowed/sa/b",
        "spiffe://x/ns/rbac%2Eallowed/sa/b",
    ),
    (
        "spiffe://x/tag.peer=plaintext;.plainsight_requests_total",
        "spiffe://x/tag%2Epeer%3Dplaintext%3B%2Eplainsight_requests_total",
    ),
    (
        "spiffe://x/a,peer=plaintext,b\"c",
        "spiffe://x/a%2Cpeer%3Dplaintext%2Cb%22c",
    ),
];

/// A name that an operator may configure, and its label value.
const NAME: (&str, &str) = (
    "old, \"cache.vms\" = component.x; caf\u{e9}",
    "old%2C %22cache%2Evms%22 %3D component%2Ex%3B caf%C3%A9",
);

#[tokio::test]
async fn hostile_values_arrive_intact_in_their_own_label() {
    let configuration =
        json!({"principals": true, "callers": [{"cidr": "127.0.0.2/32", "name": NAME.0}]});
    let scene = Scene::with(|sidecar| {
        *sidecar = sidecar.clone().with_plainsight(configuration).unwrap();
        sidecar.node_metadata =
            json!({"WORKLOAD_NAME": "wasm_filter.a.", "NAMESPACE": "x.shadow_denied"});
    })
    .await;
    for (principal, _) in PRINCIPALS {
        let identity = scene.sidecar.mesh.authority.spiffe(principal).unwrap();
        Caller::bytes("127.0.0.3")
            .over_mesh(&identity)
            .call(scene.tcp.address())
            .await
            .unwrap();
    }
    Caller::bytes("127.0.0.2")
        .call(scene.tcp.address())
        .await
        .unwrap();
    let scrape = scene.counted(CONNECTIONS, &[], 5.0).await;
    let port = scene.tcp.label();
    let destination = format!(
        "destination_port=\"{port}\",destination_workload=\"wasm_filter%2Ea%2E\",destination_workload_namespace=\"x%2Eshadow_denied\""
    );
    let mut expected: Vec<_> = PRINCIPALS
        .iter()
        .map(|(_, shown)| format!("{CONNECTIONS}{{{destination},peer=\"mutual_tls\",source_principal=\"{shown}\",strict=\"allow\"}} 1"))
        .collect();
    expected.push(format!(
        "{CONNECTIONS}{{{destination},peer=\"plaintext\",source_ip=\"127.0.0.2\",source_name=\"{}\",strict=\"reject\"}} 1",
        NAME.1
    ));
    expected.sort();
    let lines: Vec<_> = scrape
        .plainsight()
        .into_iter()
        .filter(|line| line.starts_with(CONNECTIONS))
        .collect();
    assert_eq!(lines, expected);
    // No part of a value became a label of another metric.
    for sample in &scrape.samples {
        let leaked = [
            "cache",
            "component",
            "wasm_filter",
            "authz_enforce_result",
            "authz_dry_run_result",
        ];
        assert!(
            !sample.name.contains("plainsight")
                || leaked.iter().all(|label| sample.label(label).is_none()),
            "{sample}"
        );
    }
}
