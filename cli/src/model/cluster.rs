//! What Kubernetes knows, reduced to what the decisions need.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mode::{Labels, PeerAuthentication, Policies};

/// The annotations of a pod that can explain plaintext; no other is kept.
pub const ANNOTATIONS: [&str; 4] = [
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "sidecar.istio.io/rewriteAppHTTPProbers",
];

/// A pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The workload's kind: Deployment, CronJob, ...
    pub workload_kind: String,
    /// The workload's name, as istiod writes it into the sidecar.
    pub workload: String,
    /// Its labels.
    pub labels: Labels,
    /// Those of [`ANNOTATIONS`].
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// It has a container `istio-proxy`.
    pub sidecar: bool,
    /// `istio-proxy` is its only container: a gateway, which no PeerAuthentication of workloads is for.
    #[serde(default)]
    pub gateway: bool,
    /// It uses its node's network.
    #[serde(default)]
    pub host_network: bool,
    /// It ended, or has not started.
    #[serde(default)]
    pub inactive: bool,
}

impl Pod {
    /// Jobs come and go: they are callers, and no workloads that a switch waits for.
    pub fn is_job(&self) -> bool {
        matches!(self.workload_kind.as_str(), "Job" | "CronJob")
    }
}

/// A Service, for the host names of DestinationRules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pods behind it.
    #[serde(default)]
    pub selector: Labels,
}

/// A DestinationRule that sets how clients speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRule {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host it is for.
    pub host: String,
    /// The TLS modes in it: of all traffic, of port levels, of subsets.
    pub tls_modes: BTreeSet<String>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels: injection, revision.
    #[serde(default)]
    pub labels: Labels,
}

/// A cluster, read once. `None` is "could not be read", not "there is none".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Where it came from.
    pub source: String,
    /// Where the mesh's own policy lives.
    pub root_namespace: String,
    /// All PeerAuthentications.
    pub policies: Vec<PeerAuthentication>,
    /// All pods.
    pub pods: Option<Vec<Pod>>,
    /// All namespaces.
    pub namespaces: Option<Vec<Namespace>>,
    /// All Services.
    pub services: Option<Vec<Service>>,
    /// DestinationRules with TLS settings.
    pub destination_rules: Option<Vec<DestinationRule>>,
    /// Every policy and pod of the cluster is in here. Files may hold any part of it, so what they lack may still exist.
    #[serde(default)]
    pub complete: bool,
    /// What could not be read, and what follows.
    pub notes: Vec<String>,
}

impl Cluster {
    /// The policies, in istiod's order.
    pub fn policies(&self) -> Policies {
        Policies::new(&self.root_namespace, self.policies.clone())
    }

    /// The running pods of a workload, or `None` if pods are unknown.
    pub fn pods_of<'a>(
        &'a self,
        namespace: &'a str,
        workload: &'a str,
    ) -> Option<impl Iterator<Item = &'a Pod>> {
        let pods = self.pods.as_ref()?.iter();
        Some(pods.filter(move |pod| {
            pod.namespace == namespace && pod.workload == workload && !pod.inactive
        }))
    }

    /// The Services whose selector matches the labels.
    pub fn services_of<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a Service> {
        let services = self
            .services
            .iter()
            .flatten()
            .filter(move |service| service.namespace == namespace);
        services.filter(|service| {
            !service.selector.is_empty()
                && service
                    .selector
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
        })
    }
}
