//! The fixed handful of queries, whatever the number of namespaces.

mod aftermath;
mod callers;
mod coverage;
mod health;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

pub use self::aftermath::aftermath;
pub use self::callers::active_hours;
use self::callers::callers;
use self::coverage::{coverage, silent_pods};
use self::health::health;
use super::prometheus::{Prometheus, Sample};
use crate::Error;
use crate::decide::names;
use crate::model::evidence::{Coverage, Evidence};

/// Clocks that differ by more are worth a note.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

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
    // The next whole second: at the last one, what was evaluated since then is missing.
    let now: Vec<Sample<NoLabels>> = prometheus.query("ceil(vector(time()))", None)?;
    let now = now
        .first()
        .and_then(Sample::moment)
        .ok_or_else(|| Error::Prometheus {
            url: prometheus.url().into(),
            problem: "no answer to ceil(vector(time())): not a Prometheus".into(),
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
