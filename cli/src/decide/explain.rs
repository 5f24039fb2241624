//! The likely cause of a caller without mutual TLS, from facts only.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cluster::{Cluster, DestinationRule, Pod};
use crate::model::evidence::{Caller, Peer, Traffic};
use crate::model::facts::labels_of;

/// Where the runbook is in the repository; `--runbook-url` names a published copy.
pub const RUNBOOK: &str = "docs/runbook.md";

/// The cause, as far as facts show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The caller's pods have no sidecar container.
    NoSidecar,
    /// The caller's pods use their node's network.
    HostNetwork,
    /// The application brings its own TLS.
    OwnTls,
    /// A DestinationRule tells the caller's sidecar not to use mutual TLS.
    DestinationRule,
    /// The caller's pods exclude outbound traffic from their sidecar.
    ExcludedOutbound,
    /// Health probes, or what looks like them.
    Probe,
    /// Metric scrapes.
    Scrape,
    /// A node's address: which pod behind it is unknown.
    NodeAddress,
    /// An address that belongs to no pod of the cluster.
    OutsideMesh,
    /// More callers than the filter names.
    Overflow,
    /// The facts at hand do not show it.
    Unknown,
}

impl Cause {
    /// The table's word.
    pub fn label(self) -> &'static str {
        match self {
            Cause::NoSidecar => "no sidecar",
            Cause::HostNetwork => "host network",
            Cause::OwnTls => "own TLS",
            Cause::DestinationRule => "DestinationRule",
            Cause::ExcludedOutbound => "excluded outbound",
            Cause::Probe => "probe",
            Cause::Scrape => "scrape",
            Cause::NodeAddress => "node address",
            Cause::OutsideMesh => "outside the mesh",
            Cause::Overflow => "overflow",
            Cause::Unknown => "unknown",
        }
    }

    /// What to do about it.
    pub fn action(self) -> &'static str {
        match self {
            Cause::NoSidecar => "inject a sidecar and restart it",
            Cause::HostNetwork => "move it off the host network, or exempt the port",
            Cause::OwnTls => "use plaintext to its own sidecar, or exempt the port",
            Cause::DestinationRule => "remove the TLS setting, or set ISTIO_MUTUAL",
            Cause::ExcludedOutbound => "remove the exclusion, or exempt the port",
            Cause::Probe => "turn on probe rewriting, or move the probe to a port of its own",
            Cause::Scrape => {
                "give the scraper a certificate, or move the metrics to a port of their own"
            }
            Cause::NodeAddress => "find the pod on the node, or exempt the port",
            Cause::OutsideMesh => "send it through a gateway, or exempt the port",
            Cause::Overflow => "raise maxCallers, or aggregate addresses (ipv4Prefix)",
            Cause::Unknown => "look at the caller",
        }
    }

    /// The runbook's heading.
    pub fn anchor(self) -> &'static str {
        match self {
            Cause::NoSidecar => "inject-a-sidecar",
            Cause::OwnTls => "the-applications-own-tls",
            Cause::DestinationRule => "fix-the-destinationrule",
            Cause::Probe => "move-the-probe",
            Cause::Scrape => "a-certificate-for-the-scraper",
            Cause::HostNetwork | Cause::NodeAddress => "from-a-node",
            Cause::OutsideMesh => "from-outside-the-mesh",
            Cause::Overflow => "plainsightoverflow",
            Cause::ExcludedOutbound | Cause::Unknown => "who-is-it-and-why-is-it-not-mutual-tls",
        }
    }
}

/// A cause, the facts that show it, and what stayed unknown.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The likely cause.
    pub cause: Cause,
    /// The facts.
    pub facts: Vec<String>,
    /// What could not be known.
    pub unknown: Vec<String>,
}

/// Why the caller does not use mutual TLS.
pub fn cause(caller: &Caller, cluster: Option<&Cluster>) -> Finding {
    let mut finding = Finding {
        cause: Cause::Unknown,
        facts: Vec::new(),
        unknown: Vec::new(),
    };
    match caller.traffic {
        Traffic::Probe => finding
            .facts
            .push("all of its requests look like health probes".into()),
        Traffic::Scrape => finding
            .facts
            .push("all of its requests look like metric scrapes".into()),
        Traffic::App => {}
    }
    match caller.peer {
        Peer::TlsPassthrough => finding
            .facts
            .push("it brings TLS of its own, which the sidecar passes through".into()),
        Peer::TlsNoClientCert => finding
            .facts
            .push("it speaks TLS without a client certificate".into()),
        Peer::Plaintext | Peer::Unknown => {}
    }
    finding.cause = match caller.kind.as_str() {
        "Overflow" => {
            finding
                .facts
                .push("a worker of the sidecar had named maxCallers callers before".into());
            Cause::Overflow
        }
        "Node" => {
            finding.facts.push(format!("{} is a node", caller.name));
            finding.unknown.push("which pod: a hostNetwork pod, a probe of the kubelet, or traffic behind the node's address".into());
            Cause::NodeAddress
        }
        "Range" => {
            finding
                .facts
                .push(format!("its address is in the range {}", caller.name));
            Cause::OutsideMesh
        }
        _ => match &caller.namespace {
            Some(namespace) => workload(caller, namespace, cluster, &mut finding),
            None => {
                finding.facts.push(
                    "no pod holds or held its address, as far as kube-state-metrics shows".into(),
                );
                finding.unknown.push(
                    "whether a pod that is gone had the address, or it is outside the cluster"
                        .into(),
                );
                Cause::OutsideMesh
            }
        },
    };
    if let (Traffic::Probe, Cause::NodeAddress | Cause::Unknown) = (caller.traffic, finding.cause) {
        finding.cause = Cause::Probe;
    }
    if let (Traffic::Scrape, Cause::NoSidecar | Cause::Unknown) = (caller.traffic, finding.cause) {
        finding.cause = Cause::Scrape;
    }
    finding
}

/// The cause where the caller is a workload of the cluster.
fn workload(
    caller: &Caller,
    namespace: &str,
    cluster: Option<&Cluster>,
    finding: &mut Finding,
) -> Cause {
    let own_tls = caller.peer != Peer::Plaintext && caller.peer != Peer::Unknown;
    let otherwise = if own_tls {
        Cause::OwnTls
    } else {
        Cause::Unknown
    };
    let name = caller.name.rsplit('/').next().unwrap_or_default();
    let Some(pods) = cluster.and_then(|cluster| cluster.pods.as_ref()) else {
        finding
            .unknown
            .push("whether it has a sidecar: the cluster's pods were not read".into());
        return otherwise;
    };
    // Pods that ended count too: a Job's are the only ones there are.
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| pod.namespace == namespace && pod.workload == name)
        .collect();
    if own.is_empty() {
        finding
            .unknown
            .push("whether it has a sidecar: none of its pods exists now".into());
        return otherwise;
    }
    if own.iter().any(|pod| pod.host_network) {
        finding
            .facts
            .push("its pods use their node's network, so no sidecar serves them".into());
        return Cause::HostNetwork;
    }
    let without = own.iter().filter(|pod| !pod.sidecar).count();
    if without > 0 {
        finding.facts.push(format!(
            "without a container istio-proxy: {without} of {} pods",
            own.len()
        ));
        injection(namespace, cluster, finding);
        return if own_tls {
            Cause::OwnTls
        } else {
            Cause::NoSidecar
        };
    }
    finding.facts.push("its pods have a sidecar".into());
    if own_tls {
        return Cause::OwnTls;
    }
    let Some(cluster) = cluster else {
        return otherwise;
    };
    match excluding(caller, namespace, cluster) {
        None => finding.unknown.push(
            "whether a DestinationRule excludes it: Services or DestinationRules were not read"
                .into(),
        ),
        Some(rules) if !rules.is_empty() => {
            for rule in rules {
                let modes: Vec<&str> = rule.tls_modes.iter().map(String::as_str).collect();
                finding.facts.push(format!(
                    "DestinationRule {}/{} sets TLS mode {} for {}",
                    rule.namespace,
                    rule.name,
                    modes.join(", "),
                    rule.host
                ));
            }
            return Cause::DestinationRule;
        }
        Some(_) => {}
    }
    let annotations = own
        .iter()
        .flat_map(|pod| &pod.annotations)
        .filter(|(key, _)| key.starts_with("traffic."));
    let annotations: std::collections::BTreeSet<String> = annotations
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    if !annotations.is_empty() {
        finding.facts.extend(
            annotations
                .into_iter()
                .map(|annotation| format!("its pods are annotated {annotation}")),
        );
        return Cause::ExcludedOutbound;
    }
    finding.unknown.push(
        "why its sidecar did not use mutual TLS: it may call a pod's address or a host that the mesh does not know, or have called before it was injected".into(),
    );
    Cause::Unknown
}

fn injection(namespace: &str, cluster: Option<&Cluster>, finding: &mut Finding) {
    let Some(namespaces) = cluster.and_then(|cluster| cluster.namespaces.as_ref()) else {
        return;
    };
    let Some(found) = namespaces.iter().find(|found| found.name == namespace) else {
        return;
    };
    let on = found
        .labels
        .get("istio-injection")
        .is_some_and(|value| value == "enabled")
        || found.labels.contains_key("istio.io/rev");
    finding.facts.push(if on {
        format!("namespace {namespace} has injection on: the pods are older, or opted out")
    } else {
        format!("namespace {namespace} has no injection label")
    });
}

/// The DestinationRules that a caller's sidecar may obey for the called workload and that set another mode than mutual TLS.
fn excluding<'a>(
    caller: &Caller,
    namespace: &str,
    cluster: &'a Cluster,
) -> Option<Vec<&'a DestinationRule>> {
    let rules = cluster.destination_rules.as_ref()?;
    cluster.services.as_ref()?;
    let labels = labels_of(
        cluster,
        &caller.destination_namespace,
        &caller.destination_workload,
    )?;
    let hosts: Vec<String> = cluster
        .services_of(&caller.destination_namespace, &labels)
        .map(|service| format!("{}.{}.svc.cluster.local", service.name, service.namespace))
        .collect();
    // A sidecar looks in its own namespace, the Service's, and the root namespace.
    let visible = [
        namespace,
        caller.destination_namespace.as_str(),
        cluster.root_namespace.as_str(),
    ];
    let matching = rules.iter().filter(|rule| {
        visible.contains(&rule.namespace.as_str())
            && rule.tls_modes.iter().any(|mode| mode != "ISTIO_MUTUAL")
            && hosts.iter().any(|host| host_matches(rule, host))
    });
    Some(matching.collect())
}

/// Whether a rule's host, short, partly qualified or with a wildcard, is the full host.
fn host_matches(rule: &DestinationRule, host: &str) -> bool {
    if let Some(suffix) = rule.host.strip_prefix('*') {
        return host.ends_with(suffix);
    }
    let full = if rule.host.contains('.') {
        rule.host.clone()
    } else {
        format!("{}.{}", rule.host, rule.namespace)
    };
    host == full
        || host
            .strip_prefix(&full)
            .is_some_and(|rest| rest == ".svc.cluster.local" || rest == ".cluster.local")
}
