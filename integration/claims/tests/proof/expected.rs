//! The full text of all metrics, as predicted by the table of kinds.

use std::collections::BTreeMap;

use plainsight_harness::exposition::{Sample, Scrape};
use plainsight_harness::proof::{CONNECTIONS, Counted, Does, Kind};

use crate::stage::{Stage, source};

const REQUESTS: &str = "plainsight_requests_total";
const HANDSHAKE_FAILURES: &str = "plainsight_handshake_failures_total";

/// Error metrics, which must stay at 0.
const ZERO: [&str; 3] = [
    "plainsight_overflow_total",
    "plainsight_attribute_errors_total",
    "plainsight_config_errors",
];

/// The lines of a scrape to compare. Last-seen times are compared without their value.
pub fn counted(scrape: &Scrape) -> Vec<String> {
    let mut lines: Vec<_> = scrape
        .samples
        .iter()
        .filter(|sample| sample.name.starts_with("plainsight_"))
        .filter(|sample| !(ZERO.contains(&sample.name.as_str()) && sample.value == 0.0))
        .filter(|sample| sample.name != "plainsight_build_info")
        .map(|sample| match sample.name.as_str() {
            LAST_SEEN => Sample {
                value: 0.0,
                ..sample.clone()
            }
            .to_string(),
            _ => sample.to_string(),
        })
        .collect();
    lines.sort();
    lines
}

const LAST_SEEN: &str = "plainsight_last_seen_timestamp_seconds";

/// After a call of every kind under PERMISSIVE.
pub fn after_permissive(stage: &Stage) -> Vec<String> {
    lines(stage, &|kind| vec![kind.permissive])
}

/// After another call of every kind under STRICT.
pub fn after_strict(stage: &Stage) -> Vec<String> {
    lines(stage, &|kind| vec![kind.permissive, kind.strict])
}

type Key = (&'static str, BTreeMap<String, String>);

fn lines(stage: &Stage, calls: &dyn Fn(&Kind) -> Vec<Counted>) -> Vec<String> {
    let mut values: BTreeMap<Key, f64> = BTreeMap::new();
    for (index, kind) in stage.kinds.iter().enumerate() {
        for counted in calls(kind) {
            count(&mut values, stage, index, kind, counted);
        }
    }
    values
        .into_iter()
        .map(|((name, labels), value)| {
            Sample {
                name: name.to_owned(),
                labels,
                value,
            }
            .to_string()
        })
        .collect()
}

fn count(
    values: &mut BTreeMap<Key, f64>,
    stage: &Stage,
    index: usize,
    kind: &Kind,
    counted: Counted,
) {
    let mut labels: BTreeMap<String, String> = [
        ("destination_workload", "orders".to_owned()),
        ("destination_workload_namespace", "legacy".to_owned()),
        ("destination_port", stage.port(kind.place).label()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let source = source(index, kind).to_string();
    let Some((peer, strict)) = kind.labels(counted) else {
        if counted == Counted::HandshakeFailure && stage.has_failure_reasons() {
            labels.insert("source_ip".to_owned(), source);
            *values.entry((HANDSHAKE_FAILURES, labels)).or_default() += 1.0;
        }
        return;
    };
    labels.insert("peer".to_owned(), peer.to_owned());
    labels.insert("strict".to_owned(), strict.to_owned());
    if counted == Counted::Mutual {
        if let Some(principal) = stage.principal(index, kind) {
            labels.insert("source_principal".to_owned(), principal);
        }
    } else {
        labels.insert("source_ip".to_owned(), source);
        values.insert((LAST_SEEN, labels.clone()), 0.0);
    }
    *values.entry((CONNECTIONS, labels.clone())).or_default() += 1.0;
    let requests = kind.requests(counted);
    if requests > 0 {
        if counted != Counted::Mutual {
            labels.insert("traffic".to_owned(), traffic(kind).to_owned());
        }
        *values.entry((REQUESTS, labels)).or_default() += f64::from(requests);
    }
}

fn traffic(kind: &Kind) -> &'static str {
    match kind.does {
        Does::CallAs(agent) if agent.starts_with("kube-probe") => "probe",
        Does::CallAs(_) => "scrape",
        _ => "app",
    }
}
