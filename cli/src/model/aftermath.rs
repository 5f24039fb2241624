//! What happened to mutual TLS and to handshakes since a switch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the rules' rates look back: `rate5m`.
pub const RATE_SECONDS: i64 = 300;

/// Mutual TLS to one port, per second, averaged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The called workload's namespace.
    pub namespace: String,
    /// The called workload.
    pub workload: String,
    /// The called target port.
    pub port: u16,
    /// Connections and requests per second in the same length of time before the switch.
    pub before: f64,
    /// Connections and requests per second since.
    pub after: f64,
}

/// A caller whose handshakes failed since the switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnedAway {
    /// `namespace/name` of a workload, a node, a range, or an address.
    pub name: String,
    /// Deployment, CronJob, Node, Range, Address, ...
    pub kind: String,
    /// The called workload's namespace.
    pub destination_namespace: String,
    /// The called workload.
    pub destination_workload: String,
    /// The called target port.
    pub destination_port: u16,
    /// The highest number of failed handshakes in 15 minutes.
    pub failures: f64,
}

/// What happened since a switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aftermath {
    /// How long ago the switch was.
    pub since_seconds: i64,
    /// Mutual TLS per port.
    pub flows: Vec<Flow>,
    /// Failed handshakes.
    pub turned_away: Vec<TurnedAway>,
}
