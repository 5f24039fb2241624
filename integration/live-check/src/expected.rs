//! What the traffic implies, computed without Prometheus: who called whom, and how many rows each query of the dashboard
//! must have for a choice of variables.

use std::collections::BTreeSet;

use crate::cluster::PODS;
use crate::cluster::addresses::{MACHINE, NEWCOMER, NODE, PORT_NEWCOMER, STRANGER};
use crate::dashboard::Selection;
use crate::prometheus::CLUSTER;
use crate::sidecars::Sidecars;

/// A caller without mutual TLS at one port, as the rules must tell it.
#[derive(Debug, Clone)]
pub struct Called {
    /// `caller`.
    pub caller: &'static str,
    /// `source_ip`, empty for a workload.
    pub source_ip: &'static str,
    /// `destination_workload_namespace`.
    pub namespace: &'static str,
    /// `destination_workload`.
    pub workload: &'static str,
    /// `destination_port`.
    pub port: String,
    /// `peer`.
    pub peer: &'static str,
    /// `strict`.
    pub strict: &'static str,
    /// `traffic`.
    pub traffic: &'static str,
    /// It sent requests that the sidecar could read.
    pub requests: bool,
    /// It called once, and every window but the longest has passed since.
    pub once: bool,
}

/// A port with what comes to it.
#[derive(Debug, Clone)]
pub struct Port {
    /// `destination_workload_namespace`.
    pub namespace: &'static str,
    /// `destination_workload`.
    pub workload: &'static str,
    /// `destination_port`.
    pub port: String,
    /// Somebody calls it with mutual TLS.
    pub mutual_tls: bool,
}

/// Everything that is there.
pub struct World {
    /// Callers without mutual TLS, by port.
    pub called: Vec<Called>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Workloads with their namespaces, the silent one included.
    pub workloads: Vec<(&'static str, &'static str)>,
    /// Pods whose filter reports, by namespace.
    pub pods: Vec<(&'static str, String)>,
}

/// The workload where Istio counts and the filter is not.
pub const SILENT: (&str, &str) = ("shop", "cart");

impl World {
    /// What [`crate::cast::play`] has brought about.
    pub fn new(sidecars: &Sidecars) -> Self {
        let Sidecars {
            web,
            ledger,
            vault,
            api,
            ..
        } = sidecars;
        let called = |caller, source_ip, pod: &crate::sidecars::Pod, port: usize, traffic| Called {
            caller,
            source_ip,
            namespace: pod.namespace,
            workload: pod.workload,
            port: pod.ports[port].label(),
            peer: "plaintext",
            strict: "reject",
            traffic,
            requests: true,
            once: false,
        };
        let mut ports = Vec::new();
        for pod in sidecars.pods() {
            for (index, port) in pod.ports.iter().enumerate() {
                ports.push(Port {
                    namespace: pod.namespace,
                    workload: pod.workload,
                    port: port.label(),
                    // web's TCP port and its exempt one have no caller with a sidecar.
                    mutual_tls: !(pod.workload == "web" && (index == 1 || index == 2)),
                });
            }
        }
        let mut pods: Vec<(&str, String)> = sidecars
            .pods()
            .iter()
            .map(|pod| (pod.namespace, format!("{}-1", pod.workload)))
            .collect();
        pods.extend(
            PODS.iter()
                .filter(|(_, pod, _)| *pod == "vault-2")
                .map(|(namespace, pod, _)| (*namespace, (*pod).to_owned())),
        );
        Self {
            called: vec![
                Called {
                    once: true,
                    ..called("shop/legacy-cron", "", web, 0, "app")
                },
                called("node-1", NODE, web, 0, "probe"),
                called("monitoring/prometheus", "", web, 0, "scrape"),
                called("legacy-vms", MACHINE, web, 0, "app"),
                Called {
                    requests: false,
                    ..called("finance/reports", "", web, 1, "app")
                },
                Called {
                    requests: false,
                    peer: "tls_passthrough",
                    ..called("finance/reports", "", web, 1, "app")
                },
                Called {
                    strict: "exempt",
                    ..called(STRANGER, STRANGER, web, 2, "app")
                },
                called(PORT_NEWCOMER, PORT_NEWCOMER, web, 3, "app"),
                called(STRANGER, STRANGER, ledger, 0, "app"),
                called(STRANGER, STRANGER, vault, 0, "app"),
                called("overflow", "overflow", vault, 0, "app"),
                called(NEWCOMER, NEWCOMER, api, 0, "app"),
            ],
            ports,
            workloads: vec![
                ("shop", "web"),
                ("bank", "ledger"),
                ("bank", "vault"),
                ("quiet", "api"),
                SILENT,
            ],
            pods,
        }
    }

    /// How many rows the query called `name` must have; `None` when nothing is expected of a query of that name.
    pub fn rows(&self, name: &str, chosen: &Selection) -> Option<usize> {
        let here = |namespace: &str, workload: &str| {
            chosen
                .cluster
                .as_deref()
                .is_none_or(|value| value == CLUSTER)
                && chosen
                    .namespace
                    .as_deref()
                    .is_none_or(|value| value == namespace)
                && chosen
                    .workload
                    .as_deref()
                    .is_none_or(|value| value == workload)
        };
        let counted = |called: &&Called| {
            chosen
                .counted
                .split('|')
                .any(|traffic| traffic == called.traffic)
        };
        let at = || {
            self.called
                .iter()
                .filter(|called| here(called.namespace, called.workload))
        };
        let by_caller = || {
            at().filter(|called| {
                chosen
                    .caller
                    .as_deref()
                    .is_none_or(|value| value == called.caller)
            })
        };
        let reject = |called: &&Called| called.strict == "reject";
        let in_window = |called: &&Called| !called.once || chosen.window == "30d";
        let blocking = || by_caller().filter(reject).filter(counted).filter(in_window);
        let row = |called: &Called| {
            (
                called.caller,
                called.source_ip,
                called.namespace,
                called.workload,
                called.port.clone(),
                called.peer,
            )
        };
        let ports = || {
            self.ports
                .iter()
                .filter(|port| here(port.namespace, port.workload))
        };
        let workloads = || {
            self.workloads
                .iter()
                .filter(|(namespace, workload)| here(namespace, workload))
        };
        // Namespaces are chosen by namespace alone.
        let namespaces = || {
            self.workloads.iter().filter(|(namespace, _)| {
                chosen
                    .cluster
                    .as_deref()
                    .is_none_or(|value| value == CLUSTER)
                    && chosen
                        .namespace
                        .as_deref()
                        .is_none_or(|value| value == *namespace)
            })
        };
        let in_namespace = |called: &&Called| {
            chosen
                .namespace
                .as_deref()
                .is_none_or(|value| value == called.namespace)
        };
        let pods = self
            .pods
            .iter()
            .filter(|(namespace, _)| {
                chosen
                    .namespace
                    .as_deref()
                    .is_none_or(|value| value == *namespace)
            })
            .count();
        let one = |any: bool| usize::from(any);
        let old_client = here("shop", "web")
            && chosen
                .caller
                .as_deref()
                .is_none_or(|value| value == "finance/old-client");
        let connected = || {
            ports().filter(|port| {
                port.mutual_tls || self.called.iter().any(|called| called.port == port.port)
            })
        };

        Some(match name {
            "Namespaces ready A" | "Namespaces not ready A" | "Quiet, not yet proven A" => {
                one(namespaces().next().is_some())
            }
            "Workloads not ready A" => one(workloads().next().is_some()),
            "Callers in the way A" => one(pods > 0 || blocking().next().is_some()),
            "Last plaintext A" => one(at().filter(reject).any(|called| counted(&called))),
            "Callers that STRICT would break A" => {
                distinct(blocking().map(|called| (row(called), called.traffic)))
            }
            "Callers that STRICT would break B" | "Callers that STRICT would break D" => {
                distinct(blocking().map(row))
            }
            "Callers that STRICT would break C" => {
                distinct(blocking().filter(|called| called.requests).map(row))
            }
            "Callers on exempt ports A" => distinct(
                by_caller()
                    .filter(|called| called.strict == "exempt")
                    .map(row),
            ),
            "What callers say they are (can be forged) A" => {
                one(by_caller().any(|called| called.source_ip == STRANGER))
            }
            "Namespaces A" | "Namespaces B" => {
                distinct(namespaces().map(|(namespace, _)| *namespace))
            }
            "Namespaces C" => distinct(
                self.called
                    .iter()
                    .filter(in_namespace)
                    .filter(reject)
                    .filter(counted)
                    .map(|called| called.namespace),
            ),
            "Workloads A" | "Workloads B" => distinct(workloads()),
            "Workloads C" => distinct(
                at().filter(reject)
                    .filter(counted)
                    .map(|called| (called.namespace, called.workload)),
            ),
            "Workloads D" | "Workloads E" => {
                distinct(workloads().filter(|workload| **workload != SILENT))
            }
            "Ports A" | "Ports B" => distinct(ports().map(|port| &port.port)),
            "Ports C" => distinct(
                at().filter(reject)
                    .filter(counted)
                    .map(|called| &called.port),
            ),
            "Ports D" => distinct(at().map(|called| &called.port)),
            "Share without mutual TLS A" => distinct(connected().map(|port| port.namespace)),
            "Share without mutual TLS B" => distinct(connected().map(|port| port.namespace)),
            "Connections by what they speak A" => {
                let peers = at().map(|called| called.peer);
                distinct(peers.chain(ports().filter(|port| port.mutual_tls).map(|_| "mutual_tls")))
            }
            "New callers A" => distinct(
                by_caller()
                    .filter(reject)
                    .filter(counted)
                    .map(|called| called.namespace),
            ),
            "Newest callers A" => distinct(by_caller().filter(reject).filter(counted).map(row)),
            "Busiest callers that STRICT would break: connections A" => distinct(
                by_caller()
                    .filter(reject)
                    .filter(counted)
                    .map(|called| (called.caller, called.namespace, called.workload)),
            ),
            "Busiest callers that STRICT would break: requests A" => distinct(
                by_caller()
                    .filter(reject)
                    .filter(counted)
                    .filter(|called| called.requests)
                    .map(|called| (called.caller, called.namespace, called.workload)),
            ),
            "Failed TLS handshakes by caller A" | "Callers turned away A" => one(old_client),
            // In the chosen window and no more in the shortest.
            "Callers that fell silent A" => {
                distinct(blocking().filter(|called| called.once).map(row))
            }
            "Pods reporting A" | "Overflow A" | "Unreadable properties A" => one(pods > 0),
            "Versions A" | "Pods reporting by version A" => one(pods > 0),
            "Silent workloads A" => one(here(SILENT.0, SILENT.1) || here("shop", "web")),
            "Workloads where the filter is silent A" => one(here(SILENT.0, SILENT.1)),
            "Configuration errors A"
            | "Overflow and errors A"
            | "Overflow and errors B"
            | "Overflow and errors C" => one(pods > 0),
            _ => return None,
        })
    }

    /// Every name that [`World::rows`] knows, to find expectations that no query has any more.
    pub const NAMES: [&str; 45] = [
        "Namespaces ready A",
        "Namespaces not ready A",
        "Quiet, not yet proven A",
        "Workloads not ready A",
        "Callers in the way A",
        "Last plaintext A",
        "Callers that STRICT would break A",
        "Callers that STRICT would break B",
        "Callers that STRICT would break C",
        "Callers that STRICT would break D",
        "Callers on exempt ports A",
        "What callers say they are (can be forged) A",
        "Namespaces A",
        "Namespaces B",
        "Namespaces C",
        "Workloads A",
        "Workloads B",
        "Workloads C",
        "Workloads D",
        "Workloads E",
        "Ports A",
        "Ports B",
        "Ports C",
        "Ports D",
        "Share without mutual TLS A",
        "Share without mutual TLS B",
        "Connections by what they speak A",
        "New callers A",
        "Newest callers A",
        "Busiest callers that STRICT would break: connections A",
        "Busiest callers that STRICT would break: requests A",
        "Failed TLS handshakes by caller A",
        "Callers turned away A",
        "Callers that fell silent A",
        "Pods reporting A",
        "Overflow A",
        "Unreadable properties A",
        "Versions A",
        "Pods reporting by version A",
        "Silent workloads A",
        "Workloads where the filter is silent A",
        "Configuration errors A",
        "Overflow and errors A",
        "Overflow and errors B",
        "Overflow and errors C",
    ];
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> usize {
    values.collect::<BTreeSet<T>>().len()
}
