//! The statistics of Istio's stock bootstrap.

use serde_json::{Value, json};

/// `stats_tags` of Istio's stock bootstrap, the same in Istio 1.27 to 1.31:
/// <https://github.com/istio/istio/blob/86c9f01fd735fb01d8192f5bcaf0d424afb7f14c/tools/packaging/common/envoy_bootstrap.json>.
/// The cluster test compares them with the bootstrap that Istio's agent renders.
///
/// # Panics
/// Never: the file is part of the crate, and every Envoy of the harness starts with it.
pub fn stock_tags() -> Value {
    serde_json::from_str(include_str!("stock_tags.json")).expect("stock_tags.json: not JSON")
}

/// `requiredEnvoyStatsMatcherInclusionPrefixes` and the template's own, from
/// <https://github.com/istio/istio/blob/master/pkg/bootstrap/config.go>.
const INCLUSION_PREFIXES: [&str; 8] = [
    "reporter=",
    "cluster_manager",
    "listener_manager",
    "server",
    "cluster.xds-grpc",
    "wasm",
    "component",
    "istio",
];

const INCLUSION_SUFFIXES: [&str; 5] = [
    "rbac.allowed",
    "rbac.denied",
    "shadow_allowed",
    "shadow_denied",
    "downstream_cx_active",
];

/// `stats_config` of a stock sidecar.
pub fn stats_config() -> Value {
    let prefixes = INCLUSION_PREFIXES
        .iter()
        .map(|prefix| json!({"prefix": prefix}));
    let suffixes = INCLUSION_SUFFIXES
        .iter()
        .map(|suffix| json!({"suffix": suffix}));
    json!({
        "use_all_default_tags": false,
        "stats_tags": stock_tags(),
        "stats_matcher": {"inclusion_list": {"patterns": prefixes.chain(suffixes).collect::<Vec<_>>()}},
    })
}
