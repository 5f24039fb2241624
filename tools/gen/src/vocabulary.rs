//! Rules, alerts, dashboard and filter speak of the same metrics and labels: nothing is read that nobody writes, and
//! nothing is written that nobody reads, exceptions with their reason.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use plainsight::metrics::{LABELS, METRICS};
use regex::Regex;

use crate::expressions::{ALERTS, DASHBOARD, Named, RULES, dashboard, rules};
use crate::read;

/// The page that names the series for others.
const DOCUMENT: &str = "docs/rules.md";

/// Series of others that the rules read, each with where it is documented.
const FOREIGN_METRICS: [(&str, &str); 10] = [
    ("kube_pod_info", KUBE_STATE_METRICS),
    ("kube_pod_ips", KUBE_STATE_METRICS),
    ("kube_pod_start_time", KUBE_STATE_METRICS),
    ("kube_pod_completion_time", KUBE_STATE_METRICS),
    ("kube_pod_status_phase", KUBE_STATE_METRICS),
    ("kube_replicaset_owner", KUBE_STATE_METRICS),
    ("kube_job_owner", KUBE_STATE_METRICS),
    ("kube_node_info", KUBE_STATE_METRICS),
    ("istio_requests_total", ISTIO),
    ("istio_tcp_connections_opened_total", ISTIO),
];
const KUBE_STATE_METRICS: &str =
    "https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics";
const ISTIO: &str = "https://istio.io/latest/docs/reference/config/metrics/";

/// Labels of others, each with who writes it.
const FOREIGN_LABELS: [(&str, &str); 25] = [
    ("cluster", "the Prometheus' own external or scrape label"),
    ("namespace", "the scrape, and kube-state-metrics"),
    ("pod", "the scrape, and kube-state-metrics"),
    ("tag", "Envoy: all labels of `labels: stock` in one"),
    (
        "exported_version",
        "Prometheus, where a pod's own label `version` was copied first",
    ),
    ("exported_namespace", "Prometheus, without honor_labels"),
    ("exported_pod", "Prometheus, without honor_labels"),
    ("exported_node", "Prometheus, without honor_labels"),
    ("uid", KUBE_STATE_METRICS),
    ("pod_ip", KUBE_STATE_METRICS),
    ("host_ip", KUBE_STATE_METRICS),
    ("internal_ip", KUBE_STATE_METRICS),
    ("ip", KUBE_STATE_METRICS),
    ("node", KUBE_STATE_METRICS),
    ("host_network", KUBE_STATE_METRICS),
    ("phase", KUBE_STATE_METRICS),
    ("created_by_kind", KUBE_STATE_METRICS),
    ("created_by_name", KUBE_STATE_METRICS),
    ("owner_kind", KUBE_STATE_METRICS),
    ("owner_name", KUBE_STATE_METRICS),
    ("replicaset", KUBE_STATE_METRICS),
    ("job_name", KUBE_STATE_METRICS),
    ("reporter", ISTIO),
    ("alertname", "Prometheus"),
    ("alertstate", "Prometheus"),
];

/// Labels that no rule above the normalised layer reads, and why that is right.
const UNREAD_LABELS: [(&str, &str); 1] = [(
    "source_principal",
    "it names mutual TLS callers, which STRICT does not break; plainsight:series:value carries it for own queries",
)];

/// Everything that does not agree, a line each.
///
/// # Errors
/// A file cannot be read or an expression is no PromQL.
pub fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let recording = rules(root, RULES)?;
    let alerts = rules(root, ALERTS)?;
    let mut read_by = Vec::new();
    for (path, rules) in [(RULES, &recording), (ALERTS, &alerts)] {
        for rule in rules {
            read_by.push((
                format!("{path}: {}", rule.name()),
                Named::of(&rule.expr).context(rule.name().to_owned())?,
            ));
        }
    }
    for (place, expression) in dashboard(root)? {
        let place = format!("{DASHBOARD}: {place}");
        read_by.push((place.clone(), Named::of(&expression).context(place)?));
    }
    let recorded: BTreeSet<&str> = recording
        .iter()
        .filter_map(|rule| rule.record.as_deref())
        .collect();
    let document = read(root, DOCUMENT)?;
    let documented = documented(&document)?;

    let mut problems = unknown_names(&read_by, &recorded);
    problems.extend(unread_metrics(&read_by)?);
    problems.extend(unread_labels(&read_by));
    problems.extend(
        documented
            .iter()
            .filter(|name| !recorded.contains(name.as_str()))
            .map(|name| format!("{DOCUMENT}: {name}: no rule records it")),
    );
    let all = everything(&read_by);
    problems.extend(
        recorded
            .iter()
            .filter(|name| !all.metrics.contains(**name) && !documented.contains(**name))
            .map(|name| {
                format!("{RULES}: {name}: nothing reads it and {DOCUMENT} does not name it")
            }),
    );
    Ok(problems)
}

/// The series that the page names, its abbreviations written out.
fn documented(page: &str) -> anyhow::Result<BTreeSet<String>> {
    let name = Regex::new(r"plainsight:[a-z_0-9]+:[a-z_0-9]+(?::[a-z_0-9]+)?")?;
    Ok(name
        .find_iter(page)
        .map(|found| found.as_str().to_owned())
        .collect())
}

fn everything(read_by: &[(String, Named)]) -> Named {
    let mut all = Named::default();
    for (_, named) in read_by {
        all.metrics.extend(named.metrics.iter().cloned());
        all.patterns.extend(named.patterns.iter().cloned());
        all.labels.extend(named.labels.iter().cloned());
        all.made.extend(named.made.iter().cloned());
    }
    all
}

fn unknown_names(read_by: &[(String, Named)], recorded: &BTreeSet<&str>) -> Vec<String> {
    let metrics: BTreeSet<&str> = METRICS
        .iter()
        .map(|definition| definition.name)
        .chain(recorded.iter().copied())
        .chain(FOREIGN_METRICS.iter().map(|(name, _)| *name))
        .collect();
    let all = everything(read_by);
    let labels: BTreeSet<&str> = LABELS
        .iter()
        .map(|(_, name, _)| *name)
        .chain(FOREIGN_LABELS.iter().map(|(name, _)| *name))
        .chain(all.made.iter().map(String::as_str))
        .collect();
    let mut problems = Vec::new();
    for (place, named) in read_by {
        problems.extend(
            named
                .metrics
                .iter()
                .filter(|name| !metrics.contains(name.as_str()))
                .map(|name| format!("{place}: {name}: no such series")),
        );
        problems.extend(
            named
                .labels
                .iter()
                .filter(|name| !labels.contains(name.as_str()))
                .map(|name| format!("{place}: {name}: no such label")),
        );
    }
    problems.extend(
        FOREIGN_METRICS
            .iter()
            .filter(|(name, _)| !all.metrics.contains(*name))
            .map(|(name, _)| format!("vocabulary: {name}: a foreign metric that nothing reads")),
    );
    problems
}

/// Each of the filter's metrics is taken in by a selector, and then read by its own name.
fn unread_metrics(read_by: &[(String, Named)]) -> anyhow::Result<Vec<String>> {
    let all = everything(read_by);
    let patterns: Vec<Regex> = all
        .patterns
        .iter()
        .map(|pattern| Regex::new(&format!("^(?:{pattern})$")))
        .collect::<Result<_, _>>()?;
    let mut problems = Vec::new();
    for definition in &METRICS {
        if !patterns
            .iter()
            .any(|pattern| pattern.is_match(definition.name))
            && !all.metrics.contains(definition.name)
        {
            problems.push(format!("{RULES}: {}: no rule takes it in", definition.name));
        }
        if !all.metrics.contains(definition.name) {
            problems.push(format!(
                "{RULES}: {}: nothing reads it by its name",
                definition.name
            ));
        }
    }
    Ok(problems)
}

/// Each of the filter's labels is unpacked from `tag`, and read above the normalised layer.
fn unread_labels(read_by: &[(String, Named)]) -> Vec<String> {
    let all = everything(read_by);
    let above: BTreeSet<&str> = read_by
        .iter()
        .filter(|(place, _)| !place.ends_with(": plainsight:series:value"))
        .flat_map(|(_, named)| named.labels.iter().map(String::as_str))
        .collect();
    let mut problems = Vec::new();
    for (_, label, _) in &LABELS {
        if !all.made.contains(*label) {
            problems.push(format!("{RULES}: {label}: not unpacked from `tag`"));
        }
        match (
            above.contains(label),
            UNREAD_LABELS.iter().find(|(name, _)| name == label),
        ) {
            (false, None) => problems.push(format!(
                "{RULES}: {label}: nothing reads it, and no reason is given"
            )),
            (true, Some((_, reason))) => {
                problems.push(format!(
                    "vocabulary: {label}: read after all, yet excused: {reason}"
                ));
            }
            (true, None) | (false, Some(_)) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(expression: &str) -> Vec<(String, Named)> {
        vec![("here".to_owned(), Named::of(expression).unwrap())]
    }

    #[test]
    fn a_series_or_label_that_nobody_writes_is_named_with_its_place() {
        let found = unknown_names(
            &reading("sum by (colour) (plainsight:nothing:here)"),
            &BTreeSet::new(),
        );
        assert!(
            found.contains(&"here: plainsight:nothing:here: no such series".to_owned()),
            "{found:?}"
        );
        assert!(
            found.contains(&"here: colour: no such label".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn a_metric_that_is_only_swept_up_by_a_pattern_is_not_read() {
        let found = unread_metrics(&reading("{__name__=~\"plainsight_.*\"}")).unwrap();
        assert!(
            found
                .iter()
                .any(|line| line
                    .ends_with("plainsight_requests_total: nothing reads it by its name")),
            "{found:?}"
        );
        assert!(
            !found
                .iter()
                .any(|line| line.ends_with("no rule takes it in")),
            "{found:?}"
        );
    }

    #[test]
    fn a_label_that_nothing_reads_needs_a_reason() {
        let found = unread_labels(&reading("x"));
        assert!(
            found
                .iter()
                .any(|line| line.contains("peer: nothing reads it")),
            "{found:?}"
        );
        assert!(
            !found
                .iter()
                .any(|line| line.contains("source_principal: nothing reads it")),
            "{found:?}"
        );
    }

    #[test]
    fn the_repository_agrees_with_itself() {
        assert_eq!(problems(&crate::root()).unwrap(), Vec::<String>::new());
    }
}
