//! Whether the rules are there, and evaluated now.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::NoLabels;
use crate::Error;
use crate::model::span::rough;
use crate::source::prometheus::{Prometheus, Sample};

/// Rules are evaluated every two minutes.
const STALE: SignedDuration = SignedDuration::from_mins(5);

/// The groups of rules that the answers come from.
const GROUPS: [&str; 2] = ["evidence", "coverage"];

#[derive(Deserialize)]
struct HealthLabels {
    #[serde(default)]
    group: String,
    #[serde(default)]
    problem: String,
    #[serde(default)]
    cluster: Option<String>,
}

/// Are the rules there, and evaluated now?
pub(super) fn health(
    prometheus: &Prometheus,
    now: Timestamp,
    cluster: Option<&str>,
    problems: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let query = "plainsight:rules:evaluated_timestamp_seconds or plainsight:setup:problem";
    let samples: Vec<Sample<HealthLabels>> = prometheus.query(query, Some(now))?;
    // Rules may run centrally, without a cluster's label; those of another cluster prove nothing about this one.
    let concerns = |labels: &HealthLabels| match (labels.cluster.as_deref(), cluster) {
        (Some(own), Some(chosen)) => own == chosen,
        _ => true,
    };
    // The newest of several replicas counts.
    let mut evaluated: BTreeMap<(&str, Option<&str>), Option<Timestamp>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| concerns(&sample.metric)) {
        let labels = &sample.metric;
        if labels.group.is_empty() {
            notes.push(format!(
                "setup: {} ({}); see `plainsight doctor`",
                labels.problem,
                sample.value()
            ));
            continue;
        }
        let newest = evaluated
            .entry((labels.group.as_str(), labels.cluster.as_deref()))
            .or_default();
        *newest = (*newest).max(sample.moment());
    }
    for ((group, _), moment) in &evaluated {
        match moment {
            Some(moment) if now.duration_since(*moment) <= STALE => {}
            Some(moment) => problems.push(format!(
                "rules are stale: {group} evaluated {} ago",
                rough(*moment, now)
            )),
            None => problems.push(format!("rules: {group} has no time of evaluation")),
        }
    }
    if !evaluated.is_empty() {
        let present = |group: &str| evaluated.keys().any(|(name, _)| *name == group);
        let missing = GROUPS.iter().filter(|group| !present(group));
        problems.extend(
            missing.map(|group| format!("rules are missing: group {group} is not evaluated")),
        );
    } else {
        let tagged: Vec<Sample<NoLabels>> =
            prometheus.query("count({__name__=~\"plainsight_.+\",tag!=\"\"})", Some(now))?;
        problems.push(if tagged.is_empty() {
            "no recording rules: plainsight:rules:evaluated_timestamp_seconds has no sample in the last 5 minutes".into()
        } else {
            "no recording rules, and raw series still carry `tag`: the scrape has no metric_relabel_configs to unpack it".into()
        });
    }
    Ok(())
}
