//! How much of each workload reports, and which pods do not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::matchers;
use crate::Error;
use crate::decide::names;
use crate::model::evidence::{Coverage, SilentPod};
use crate::source::prometheus::{Prometheus, Sample};

#[derive(Deserialize)]
struct WorkloadLabels {
    #[serde(rename = "__name__")]
    name: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    destination_workload_namespace: String,
    #[serde(default)]
    destination_workload: String,
}

#[derive(Deserialize)]
struct PodLabels {
    #[serde(default)]
    destination_workload_namespace: String,
    #[serde(default)]
    destination_workload: String,
    #[serde(default)]
    pod: String,
}

/// Coverage of every workload, and the cluster that was meant.
pub(super) fn coverage(
    prometheus: &Prometheus,
    now: Timestamp,
    cluster: Option<&str>,
) -> Result<(Vec<Coverage>, Option<String>), Error> {
    let query = "{__name__=~\"plainsight:workload:(pods|pods_reporting|reporting_since_timestamp_seconds)\"} \
                 or plainsight:workload:proven{window=\"1h\"}";
    let samples: Vec<Sample<WorkloadLabels>> = prometheus.query(query, Some(now))?;
    let clusters: BTreeSet<&str> = samples
        .iter()
        .map(|sample| sample.metric.cluster.as_str())
        .collect();
    let chosen = match cluster {
        Some(name) if clusters.contains(name) || clusters.is_empty() => Some(name.to_owned()),
        Some(name) => {
            return Err(Error::Unknown(names::unknown(
                "cluster",
                name,
                clusters.iter().copied(),
            )));
        }
        None if clusters.len() > 1 => {
            let list: Vec<&str> = clusters
                .iter()
                .map(|name| if name.is_empty() { "(none)" } else { name })
                .collect();
            return Err(Error::Usage(format!(
                "this Prometheus holds {} clusters: choose with --cluster: {}",
                list.len(),
                list.join(", ")
            )));
        }
        None => clusters
            .first()
            .filter(|name| !name.is_empty())
            .map(|name| (*name).to_owned()),
    };
    let mut rows: BTreeMap<(String, String), Coverage> = BTreeMap::new();
    for sample in samples {
        let value = sample.value();
        let moment = sample.moment();
        let labels = sample.metric;
        if chosen.as_deref().unwrap_or_default() != labels.cluster
            || labels.destination_workload.is_empty()
        {
            continue;
        }
        let key = (
            labels.destination_workload_namespace,
            labels.destination_workload,
        );
        let row = rows.entry(key.clone()).or_insert_with(|| Coverage {
            namespace: key.0,
            workload: key.1,
            ..Coverage::default()
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of pods; saturates"
        )]
        let count = value.is_finite().then_some(value as u32);
        match labels.name.as_str() {
            "plainsight:workload:pods" => row.pods = count,
            "plainsight:workload:pods_reporting" => row.pods_reporting = count,
            "plainsight:workload:reporting_since_timestamp_seconds" => row.reporting_since = moment,
            _ => {}
        }
    }
    Ok((rows.into_values().collect(), chosen))
}

/// Running pods with a sidecar whose filter is not scraped.
pub(super) fn silent_pods(
    prometheus: &Prometheus,
    now: Timestamp,
    cluster: Option<&str>,
) -> Result<Vec<SilentPod>, Error> {
    let own = matchers(cluster, &[]);
    let query = format!(
        "plainsight:pod:sidecar{{{own}}} unless on (cluster, namespace, pod) plainsight_build_info{{tag=\"\"}}"
    );
    let samples: Vec<Sample<PodLabels>> = prometheus.query(&query, Some(now))?;
    let mut pods: Vec<SilentPod> = samples
        .into_iter()
        .map(|sample| SilentPod {
            namespace: sample.metric.destination_workload_namespace,
            workload: sample.metric.destination_workload,
            pod: sample.metric.pod,
        })
        .collect();
    pods.sort();
    Ok(pods)
}
