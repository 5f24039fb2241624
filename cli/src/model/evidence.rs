//! What Prometheus knows: callers without mutual TLS, and how much of each workload reports.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a caller's connection was secured. Mutual TLS never appears: such callers are not evidence.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// No TLS at all.
    Plaintext,
    /// The application's own TLS, passed through by the sidecar.
    TlsPassthrough,
    /// TLS that ended at the sidecar, without a client certificate.
    TlsNoClientCert,
    /// A value this version does not know.
    #[serde(other)]
    Unknown,
}

impl Peer {
    /// How people say it.
    pub fn speaks(self) -> &'static str {
        match self {
            Peer::Plaintext => "plaintext",
            Peer::TlsPassthrough => "TLS of its own",
            Peer::TlsNoClientCert => "TLS, no client certificate",
            Peer::Unknown => "unknown",
        }
    }
}

/// The verdict under STRICT.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Strict {
    /// The filter's `exempt` says that this port stays open.
    Exempt,
    /// STRICT would refuse it. A verdict this version does not know counts as this one.
    #[serde(other)]
    Reject,
}

/// What the requests were for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// All requests were health probes.
    Probe,
    /// All requests were metric scrapes.
    Scrape,
    /// Anything else.
    #[serde(other)]
    App,
}

/// One caller of one port, as remembered by the rules for 40 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// `namespace/name` of a workload, a node, the name of a range, or an address.
    pub name: String,
    /// Deployment, CronJob, Node, Range, Address, ...
    pub kind: String,
    /// Of workloads only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// Of callers that are no workload.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_ip: Option<String>,
    /// The operator's name of the address range.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_name: Option<String>,
    /// How the connection was secured.
    pub peer: Peer,
    /// The verdict under STRICT.
    pub strict: Strict,
    /// What the requests were for.
    pub traffic: Traffic,
    /// The called workload's namespace.
    pub destination_namespace: String,
    /// The called workload.
    pub destination_workload: String,
    /// The called target port.
    pub destination_port: u16,
    /// Last time it was seen.
    pub last_seen: Timestamp,
    /// First time it was seen, as far as the rules remember.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<Timestamp>,
    /// In how many different hours of the window it was seen; known to `explain` and to snapshots of chosen namespaces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub active_hours: Option<u32>,
}

impl Caller {
    /// What makes two callers one, as the rules count them.
    pub fn identity(&self) -> (&str, &str, &str) {
        (
            &self.name,
            &self.kind,
            self.namespace.as_deref().unwrap_or_default(),
        )
    }

    /// Whether two series of one called workload are of the same caller, port and protocol.
    pub fn differs_only_in_verdict(&self, other: &Self) -> bool {
        let key = |caller: &Self| (caller.destination_port, caller.peer, caller.traffic);
        self.identity() == other.identity()
            && self.source_ip == other.source_ip
            && key(self) == key(other)
    }

    /// A workload is known by its name, everything else by its kind or address too.
    pub fn display(&self) -> String {
        match (&self.source_ip, self.kind.as_str()) {
            (Some(ip), "Range" | "Node") if *ip != self.name => format!("{} ({ip})", self.name),
            _ => self.name.clone(),
        }
    }
}

/// How much of one workload reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub workload: String,
    /// Running pods with a sidecar; unknown without kube-state-metrics.
    pub pods: Option<u32>,
    /// Those of them whose filter is scraped.
    pub pods_reporting: Option<u32>,
    /// Since when all of them report, without a gap over 15 minutes.
    pub reporting_since: Option<Timestamp>,
}

impl Coverage {
    /// All pods report now. A workload that is scaled to zero stays proven for three days, without any pod.
    pub fn is_full(&self) -> bool {
        match (self.pods, self.pods_reporting) {
            (Some(pods), Some(reporting)) => pods > 0 && reporting >= pods,
            _ => self.reporting_since.is_some(),
        }
    }
}

/// A running pod with a sidecar whose filter is not scraped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct SilentPod {
    /// The pod's namespace.
    pub namespace: String,
    /// Its workload.
    pub workload: String,
    /// The pod.
    pub pod: String,
}

/// Everything read from Prometheus for one cluster, at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Where it came from.
    pub source: String,
    /// Prometheus's own time of the queries.
    pub queried_at: Timestamp,
    /// The cluster chosen, or the only one.
    pub cluster: Option<String>,
    /// Callers without mutual TLS.
    pub callers: Vec<Caller>,
    /// Coverage of every known workload.
    pub coverage: Vec<Coverage>,
    /// Pods that should report and do not.
    pub silent_pods: Vec<SilentPod>,
    /// Reasons why nothing in here proves anything: rules missing or stale, partial answers.
    pub problems: Vec<String>,
    /// Worth knowing, and no obstacle.
    pub notes: Vec<String>,
}
