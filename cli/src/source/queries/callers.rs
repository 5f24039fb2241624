//! The callers that the rules remember, and how often they came.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::matchers;
use crate::Error;
use crate::model::evidence::{Caller, Evidence, Peer, Strict, Traffic};
use crate::model::span::Length;
use crate::source::prometheus::{Prometheus, Sample};

/// The labels of a caller's evidence, one string each, as Prometheus sends them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
struct CallerLabels {
    cluster: String,
    caller: String,
    caller_kind: String,
    caller_namespace: String,
    source_ip: String,
    source_name: String,
    peer: String,
    strict: String,
    traffic: String,
    destination_workload_namespace: String,
    destination_workload: String,
    destination_port: String,
}

pub(super) fn callers(
    prometheus: &Prometheus,
    now: Timestamp,
    matchers: &str,
) -> Result<Vec<Caller>, Error> {
    let first = format!("plainsight:caller:first_seen_timestamp_seconds{{{matchers}}}");
    let first: Vec<Sample<CallerLabels>> = prometheus.query(&first, Some(now))?;
    let mut first: HashMap<CallerLabels, Timestamp> = first
        .into_iter()
        .filter_map(|sample| Some((sample.moment()?, sample.metric)))
        .map(|(moment, labels)| (labels, moment))
        .collect();
    let last = format!("plainsight:caller:last_seen_timestamp_seconds{{{matchers}}}");
    let last: Vec<Sample<CallerLabels>> = prometheus.query(&last, Some(now))?;
    let named = last.into_iter().map(|sample| {
        let first_seen = first.remove(&sample.metric);
        // A time that is no time counts as now: a caller must not be lost.
        let last_seen = sample.moment().unwrap_or(now);
        caller(sample.metric, last_seen, first_seen)
    });
    Ok(named.collect())
}

fn caller(labels: CallerLabels, last_seen: Timestamp, first_seen: Option<Timestamp>) -> Caller {
    let optional = |text: String| (!text.is_empty()).then_some(text);
    Caller {
        name: labels.caller,
        kind: labels.caller_kind,
        namespace: optional(labels.caller_namespace),
        source_ip: optional(labels.source_ip),
        source_name: optional(labels.source_name),
        peer: match labels.peer.as_str() {
            "plaintext" => Peer::Plaintext,
            "tls_passthrough" => Peer::TlsPassthrough,
            "tls_no_client_cert" => Peer::TlsNoClientCert,
            _ => Peer::Unknown,
        },
        strict: if labels.strict == "exempt" {
            Strict::Exempt
        } else {
            Strict::Reject
        },
        traffic: match labels.traffic.as_str() {
            "probe" => Traffic::Probe,
            "scrape" => Traffic::Scrape,
            _ => Traffic::App,
        },
        destination_namespace: labels.destination_workload_namespace,
        destination_workload: labels.destination_workload,
        destination_port: labels.destination_port.parse().unwrap_or(0),
        last_seen,
        first_seen,
        active_hours: None,
    }
}

/// In how many hours of the window each caller was seen: the one expensive question, for chosen namespaces only.
pub fn active_hours(
    prometheus: &Prometheus,
    evidence: &mut Evidence,
    namespaces: &[String],
    window: Length,
) -> Result<(), Error> {
    let matchers = matchers(evidence.cluster.as_deref(), namespaces);
    let query = format!(
        "changes(plainsight:caller:last_seen_timestamp_seconds{{{matchers}}}[{window}:1h])"
    );
    let samples: Vec<Sample<CallerLabels>> = prometheus.query(&query, Some(evidence.queried_at))?;
    let start = window.before(evidence.queried_at);
    let mut hours: HashMap<CallerKey, u32> = HashMap::new();
    for sample in samples {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of hours; saturates"
        )]
        let changes = sample.value() as u32;
        hours.insert(
            key(&caller(sample.metric, evidence.queried_at, None)),
            changes,
        );
    }
    for caller in &mut evidence.callers {
        // The value that a caller is born with is no change, and is a sighting.
        let born = caller.first_seen.is_none_or(|first| first > start);
        caller.active_hours = hours
            .get(&key(caller))
            .map(|changes| changes + u32::from(born));
    }
    Ok(())
}

type CallerKey = (
    String,
    String,
    Option<String>,
    Option<String>,
    Peer,
    Strict,
    Traffic,
    String,
    String,
    u16,
);

fn key(caller: &Caller) -> CallerKey {
    (
        caller.name.clone(),
        caller.kind.clone(),
        caller.source_ip.clone(),
        caller.source_name.clone(),
        caller.peer,
        caller.strict,
        caller.traffic,
        caller.destination_namespace.clone(),
        caller.destination_workload.clone(),
        caller.destination_port,
    )
}
