//! How many series each recording rule must have, and which alerts must fire.

use crate::expected::World;

/// What is expected of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// So many series.
    Exactly(usize),
    /// A step in between, whose number of series is its own affair: it must have some.
    Some,
}

/// Alerts that must fire in the played traffic: all there are.
pub const FIRING: [&str; 7] = [
    "PlainsightAttributeErrors",
    "PlainsightCallerOnReadyPort",
    "PlainsightCallerTurnedAway",
    "PlainsightConfigErrors",
    "PlainsightFilterSilent",
    "PlainsightNewCallerInReadyNamespace",
    "PlainsightOverflow",
];

impl World {
    /// What is expected of the rule that records `name`; `None` when nothing is.
    pub fn series(&self, name: &str) -> Option<Expected> {
        use Expected::{Exactly, Some as Any};
        let reject = || {
            self.called
                .iter()
                .filter(|called| called.strict == "reject")
        };
        let all_windows_and_both_ways = |subjects: usize| Exactly(subjects * 4 * 2);
        let namespaces = 3;
        let with_reject = |key: fn(&crate::expected::Called) -> String| {
            let keys = |traffic: Option<&str>| {
                reject()
                    .filter(|called| traffic.is_none_or(|traffic| called.traffic == traffic))
                    .map(key)
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
            };
            Exactly(keys(None) + keys(Some("app")))
        };
        Some(match name {
            "plainsight:caller:last_seen_timestamp_seconds"
            | "plainsight:caller:first_seen_timestamp_seconds"
            | "plainsight:caller:connections:increase1m" => Exactly(self.called.len()),
            "plainsight:caller:requests:increase1m" => {
                Exactly(self.called.iter().filter(|called| called.requests).count())
            }
            "plainsight:caller:blocking" => {
                Exactly(reject().map(|called| if called.once { 1 } else { 4 }).sum())
            }
            "plainsight:caller:handshake_failures:increase1m"
            | "plainsight:source:handshake_failures:increase1m"
            | "plainsight:caller:claim" => Exactly(1),
            "plainsight:port:known" => Exactly(self.ports.len()),
            "plainsight:port:window" => Exactly(self.ports.len() * 4),
            "plainsight:port:blocking_callers" | "plainsight:port:ready" => {
                all_windows_and_both_ways(self.ports.len())
            }
            "plainsight:workload:blocking_callers" | "plainsight:workload:ready" => {
                all_windows_and_both_ways(self.workloads.len())
            }
            "plainsight:namespace:blocking_callers" | "plainsight:namespace:ready" => {
                all_windows_and_both_ways(namespaces)
            }
            "plainsight:workload:last_known_timestamp_seconds" => Exactly(self.workloads.len()),
            "plainsight:workload:proven" => Exactly(self.workloads.len() * 4),
            "plainsight:workload:reporting"
            | "plainsight:workload:reporting_since_timestamp_seconds"
            | "plainsight:workload:without_mtls:ratio1h" => Exactly(self.workloads.len() - 1),
            // cart is silent, web is not; nobody counts for the others.
            "plainsight:workload:silent" => Exactly(2),
            "plainsight:port:last_blocking_timestamp_seconds" => {
                with_reject(|called| called.port.clone())
            }
            "plainsight:workload:last_blocking_timestamp_seconds" => {
                with_reject(|called| called.workload.to_owned())
            }
            "plainsight:namespace:last_blocking_timestamp_seconds" => {
                with_reject(|called| called.namespace.to_owned())
            }
            "plainsight:pod:build_info" | "plainsight:pod:config_errors" => {
                Exactly(self.pods.len())
            }
            // vault-2 has no connection, so nothing says what its workload is.
            "plainsight:pod:workload" => Exactly(self.pods.len() - 1),
            "plainsight:pod:overflow:increase1m" | "plainsight:pod:attribute_errors:increase1m" => {
                Exactly(self.pods.len())
            }
            "plainsight:port:active_connections"
            | "plainsight:port:connections:increase1m"
            | "plainsight:port:requests:increase1m"
            | "plainsight:series:value"
            | "plainsight:series:increase1m"
            | "plainsight:kube_pod:address"
            | "plainsight:kube_pod:owner"
            | "plainsight:address:node"
            | "plainsight:address:pod"
            | "plainsight:address:holder_since_timestamp_seconds"
            | "plainsight:address:holder_until_timestamp_seconds"
            | "plainsight:source:address_name"
            | "plainsight:source:last_seen_timestamp_seconds"
            | "plainsight:source:sighting_timestamp_seconds"
            | "plainsight:source:caller"
            | "plainsight:source:name" => Any,
            _ => return None,
        })
    }
}
