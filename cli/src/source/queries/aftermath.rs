//! What `verify` asks: mutual TLS before and after the switch, and failed handshakes since.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::matchers;
use crate::Error;
use crate::model::aftermath::{Aftermath, Flow, RATE_SECONDS, TurnedAway};
use crate::model::evidence::Evidence;
use crate::model::span::Length;
use crate::source::prometheus::{Prometheus, Sample};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labels {
    caller: String,
    caller_kind: String,
    destination_workload_namespace: String,
    destination_workload: String,
    destination_port: String,
}

/// Asks for the time since the switch, and as long before it.
pub fn aftermath(
    prometheus: &Prometheus,
    evidence: &mut Evidence,
    namespaces: &[String],
    since: Length,
) -> Result<Aftermath, Error> {
    let own = matchers(evidence.cluster.as_deref(), namespaces);
    let now = Some(evidence.queried_at);
    let mut flows: BTreeMap<(String, String, u16), Flow> = BTreeMap::new();
    // A rate looks back: its samples of the first minutes after the switch still show traffic from before it.
    let clean = Length::from_seconds((since.seconds() - RATE_SECONDS).max(RATE_SECONDS));
    let ranges = [
        (format!("[{clean}]"), true),
        (format!("[{since}] offset {since}"), false),
    ];
    for (range, after) in ranges {
        for name in ["connections", "requests"] {
            let query = format!(
                "sum by (destination_workload_namespace, destination_workload, destination_port) \
                 (avg_over_time(plainsight:port:{name}:rate5m{{peer=\"mutual_tls\",{own}}}{range}))"
            );
            let samples: Vec<Sample<Labels>> = prometheus.query(&query, now)?;
            for sample in samples {
                let value = sample.value();
                let labels = sample.metric;
                let port = labels.destination_port.parse().unwrap_or(0);
                let key = (
                    labels.destination_workload_namespace,
                    labels.destination_workload,
                    port,
                );
                let flow = flows.entry(key.clone()).or_insert_with(|| Flow {
                    namespace: key.0,
                    workload: key.1,
                    port,
                    ..Flow::default()
                });
                *(if after {
                    &mut flow.after
                } else {
                    &mut flow.before
                }) += value;
            }
        }
    }
    let query = format!(
        "max_over_time(plainsight:caller:handshake_failures:increase15m{{{own}}}[{since}]) > 0"
    );
    let samples: Vec<Sample<Labels>> = prometheus.query(&query, now)?;
    let turned_away = samples
        .into_iter()
        .map(|sample| TurnedAway {
            failures: sample.value(),
            name: sample.metric.caller,
            kind: sample.metric.caller_kind,
            destination_namespace: sample.metric.destination_workload_namespace,
            destination_workload: sample.metric.destination_workload,
            destination_port: sample.metric.destination_port.parse().unwrap_or(0),
        })
        .collect();
    for warning in prometheus.warnings() {
        let problem = format!("the answer is partial: {warning}");
        if !evidence.problems.contains(&problem) {
            evidence.problems.push(problem);
        }
    }
    Ok(Aftermath {
        since_seconds: since.seconds(),
        flows: flows.into_values().collect(),
        turned_away,
    })
}
