//! The fixed handful of queries, whatever the number of namespaces.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::prometheus::{Prometheus, Sample};
use crate::Error;
use crate::decide::names;
use crate::model::evidence::{Caller, Coverage, Evidence, Peer, SilentPod, Strict, Traffic};
use crate::model::span::{Length, rough};

/// Rules are evaluated every two minutes.
const STALE: SignedDuration = SignedDuration::from_mins(5);
/// The groups of rules that the answers come from.
const GROUPS: [&str; 2] = ["evidence", "coverage"];
/// Clocks that differ by more are worth a note.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

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
struct HealthLabels {
    #[serde(default)]
    group: String,
    #[serde(default)]
    problem: String,
    #[serde(default)]
    cluster: Option<String>,
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

/// No labels asked for.
#[derive(Debug, Deserialize)]
pub struct NoLabels {}

/// A PromQL string literal.
pub fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// Matchers for the chosen cluster and called namespaces, without the braces.
pub fn matchers(cluster: Option<&str>, namespaces: &[String]) -> String {
    let mut matchers = Vec::new();
    if let Some(cluster) = cluster {
        matchers.push(format!("cluster={}", quoted(cluster)));
    }
    if !namespaces.is_empty() {
        // Names of namespaces are DNS labels; anything else matches nothing.
        let plain: Vec<&str> = namespaces
            .iter()
            .map(String::as_str)
            .filter(|name| is_dns_label(name))
            .collect();
        matchers.push(format!(
            "destination_workload_namespace=~{}",
            quoted(&plain.join("|"))
        ));
    }
    matchers.join(",")
}

fn is_dns_label(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Everything the decisions need, at one moment of Prometheus's own time.
pub fn evidence(
    prometheus: &Prometheus,
    cluster: Option<&str>,
    namespaces: &[String],
) -> Result<Evidence, Error> {
    let here = Timestamp::now();
    let now: Vec<Sample<NoLabels>> = prometheus.query("vector(time())", None)?;
    let now = now
        .first()
        .and_then(Sample::moment)
        .ok_or_else(|| Error::Prometheus {
            url: prometheus.url().into(),
            problem: "no answer to vector(time()): not a Prometheus".into(),
        })?;
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    if now.duration_since(here).abs() > SKEW {
        notes.push(format!("clock: Prometheus says {now}, this machine says {here}: ages are computed on Prometheus's clock"));
    }
    let (coverage, cluster) = coverage(prometheus, now, cluster)?;
    if let Some(missing) = namespaces.iter().find(|name| !is_dns_label(name)) {
        return Err(Error::Unknown(names::unknown(
            "namespace",
            missing,
            coverage.iter().map(|row| row.namespace.as_str()),
        )));
    }
    health(
        prometheus,
        now,
        cluster.as_deref(),
        &mut problems,
        &mut notes,
    )?;
    let callers = callers(prometheus, now, &matchers(cluster.as_deref(), namespaces))?;
    let ahead = callers
        .iter()
        .filter(|caller| caller.last_seen.duration_since(now) > SKEW)
        .count();
    if ahead > 0 {
        notes.push(format!("clock: {ahead} callers were last seen in the future: the clocks of sidecars and Prometheus differ"));
    }
    let silent_pods = if coverage.iter().all(Coverage::is_full) {
        Vec::new()
    } else {
        silent_pods(prometheus, now, cluster.as_deref())?
    };
    for warning in prometheus.warnings() {
        problems.push(format!("the answer is partial: {warning}"));
    }
    let source = prometheus.url().to_owned();
    Ok(Evidence {
        source,
        queried_at: now,
        cluster,
        callers,
        coverage,
        silent_pods,
        problems,
        notes,
    })
}

/// Coverage of every workload, and the cluster that was meant.
fn coverage(
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

/// Are the rules there, and evaluated now?
fn health(
    prometheus: &Prometheus,
    now: Timestamp,
    cluster: Option<&str>,
    problems: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let query = "plainsight:rules:evaluated_timestamp_seconds or plainsight:setup:problem";
    let samples: Vec<Sample<HealthLabels>> = prometheus.query(query, Some(now))?;
    let mut evaluated = BTreeSet::new();
    for sample in &samples {
        let labels = &sample.metric;
        if labels.group.is_empty() {
            if labels.cluster.is_none() || cluster.is_none() || labels.cluster.as_deref() == cluster
            {
                notes.push(format!(
                    "setup: {} ({}); see `plainsight doctor`",
                    labels.problem,
                    sample.value()
                ));
            }
            continue;
        }
        evaluated.insert(labels.group.as_str());
        match sample.moment() {
            Some(moment) if now.duration_since(moment) <= STALE => {}
            Some(moment) => problems.push(format!(
                "rules are stale: {} evaluated {} ago",
                labels.group,
                rough(moment, now)
            )),
            None => problems.push(format!("rules: {} has no time of evaluation", labels.group)),
        }
    }
    if !evaluated.is_empty() {
        let missing = GROUPS.iter().filter(|group| !evaluated.contains(*group));
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

fn callers(prometheus: &Prometheus, now: Timestamp, matchers: &str) -> Result<Vec<Caller>, Error> {
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

/// Running pods with a sidecar whose filter is not scraped.
fn silent_pods(
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
