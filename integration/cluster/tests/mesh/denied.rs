//! Connections and requests that an AuthorizationPolicy denies are still callers: `phase: AUTHN` puts both plugins
//! before Istio's own RBAC, on HTTP and on TCP chains. CUSTOM policies come before that phase.

use plainsight_cluster::cluster::{Cluster, caller_address};
use plainsight_cluster::stage::Stage;
use plainsight_cluster::workload::Port;
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::json;

fn policy(stage: &Stage<'_>, action: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: denied, namespace: {}}}, \
         spec: {{selector: {{matchLabels: {{app: checkout}}}}, {action}, \
         rules: [{{to: [{{operation: {{ports: [\"8080\", \"9000\"]}}}}]}}]}}}}",
        stage.namespace
    )
}

/// What one plaintext call to a port adds: connections and requests without mutual TLS.
async fn counted(stage: &Stage<'_>, number: u8, port: Port) -> (f64, f64) {
    let address = caller_address(number).to_string();
    let caller = if port == Port::Tcp {
        Caller::bytes(&address)
    } else {
        Caller::http1(&address)
    };
    let reply = stage.call(&caller, port).await;
    assert!(
        reply.as_ref().map_or(true, |reply| reply.status == 403),
        "{port:?}: not denied: {reply:?}"
    );
    let port = port.number().to_string();
    let labels = [
        ("source_ip", address.as_str()),
        ("destination_port", port.as_str()),
        ("strict", "reject"),
    ];
    // Counted when Envoy closes the connection, a moment after the caller sees it.
    eventually("counted", || async {
        let scrape = stage.pod.scrape().await?;
        let count = |metric| scrape.sum(metric, &labels);
        let counts = (
            count("plainsight_connections_total"),
            count("plainsight_requests_total"),
        );
        anyhow::ensure!(counts.0 > 0.0, "{:#?}", scrape.plainsight());
        Ok(counts)
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", stage.sidecar_log()))
}

async fn until_denied(stage: &Stage<'_>) {
    let caller = Caller::bytes(&caller_address(250).to_string());
    eventually("the policy is in force", || async {
        let reply = stage.call(&caller, Port::Tcp).await;
        anyhow::ensure!(reply.is_err(), "served");
        Ok(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
}

pub async fn what_a_deny_policy_refuses_is_counted_on_http_and_tcp_ports(cluster: &Cluster) {
    let stage = Stage::start(cluster, json!({}))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    stage
        .cluster
        .apply(&policy(&stage, "action: DENY"))
        .await
        .unwrap();
    until_denied(&stage).await;
    assert_eq!(counted(&stage, 1, Port::Http).await, (1.0, 1.0));
    assert_eq!(counted(&stage, 2, Port::Tcp).await, (1.0, 0.0));
}

pub async fn what_a_custom_policy_refuses_is_counted_as_a_connection_only(cluster: &Cluster) {
    let stage = Stage::start(cluster, json!({}))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    // A provider that the mesh does not have: istiod denies everything in its place.
    stage
        .cluster
        .apply(&policy(&stage, "action: CUSTOM, provider: {name: absent}"))
        .await
        .unwrap();
    until_denied(&stage).await;
    assert_eq!(counted(&stage, 1, Port::Http).await, (1.0, 0.0));
    assert_eq!(counted(&stage, 2, Port::Tcp).await, (1.0, 0.0));
}
