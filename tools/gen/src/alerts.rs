//! Every alert says what it is, how bad, and where to read on, and has been seen not to fire, to fire and to end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use regex::Regex;
use serde::Deserialize;

use crate::expressions::{ALERTS, Rule, rules};
use crate::read;

/// The one place that knows where the runbook is read; the alerts file repeats it and is compared with it.
pub const RUNBOOK_URL: &str = "https://github.com/plainsight/plainsight/blob/main/docs/runbook.md";
const RUNBOOK: &str = "docs/runbook.md";
const TESTS: &str = "envoy-config/prometheus/tests/alerts.yml";

#[derive(Deserialize)]
struct TestFile {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    #[serde(default)]
    alert_rule_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    alertname: String,
    exp_alerts: Vec<serde_yaml_ng::Value>,
}

/// Everything that is missing, a line each.
///
/// # Errors
/// A file cannot be read.
pub fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let alerts = rules(root, ALERTS)?;
    let runbook = read(root, RUNBOOK)?;
    let headings: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let tests: TestFile = serde_yaml_ng::from_str(&read(root, TESTS)?).context(TESTS)?;
    let mut problems: Vec<String> = alerts
        .iter()
        .flat_map(|alert| described(alert, &headings))
        .collect();
    problems.extend(tested(&alerts, &tests));
    let heading = Regex::new("^Plainsight[A-Z]")?;
    problems.extend(
        headings
            .iter()
            .filter(|title| {
                heading.is_match(title) && !alerts.iter().any(|alert| alert.name() == **title)
            })
            .map(|title| format!("{RUNBOOK}: {title}: no such alert")),
    );
    Ok(problems)
}

fn described(alert: &Rule, headings: &BTreeSet<&str>) -> Vec<String> {
    let name = alert.name();
    let mut problems = Vec::new();
    if !matches!(
        alert.labels.get("severity").map(String::as_str),
        Some("info" | "warning" | "critical")
    ) {
        problems.push(format!(
            "{ALERTS}: {name}: severity: not info, warning or critical"
        ));
    }
    for annotation in ["summary", "description"] {
        if alert
            .annotations
            .get(annotation)
            .is_none_or(|text| text.trim().is_empty())
        {
            problems.push(format!("{ALERTS}: {name}: {annotation}: missing"));
        }
    }
    // GitHub's anchor of a heading of letters alone is the heading in lower case.
    let expected = format!("{RUNBOOK_URL}#{}", name.to_lowercase());
    if alert.annotations.get("runbook_url") != Some(&expected) {
        problems.push(format!("{ALERTS}: {name}: runbook_url: not {expected}"));
    }
    if !headings.contains(name) {
        problems.push(format!("{RUNBOOK}: {name}: no heading"));
    }
    if alert.hold.is_none() {
        problems.push(format!("{ALERTS}: {name}: for: missing"));
    }
    problems
}

/// In the order of a test's lines, an alert must be absent, then fire, then be absent again.
fn tested(alerts: &[Rule], tests: &TestFile) -> Vec<String> {
    let mut seen: BTreeMap<&str, bool> = BTreeMap::new();
    for test in &tests.tests {
        let mut courses: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
        for expected in &test.alert_rule_test {
            courses
                .entry(&expected.alertname)
                .or_default()
                .push(!expected.exp_alerts.is_empty());
        }
        for (name, fires) in courses {
            let first = fires.iter().position(|fires| *fires);
            let last = fires.iter().rposition(|fires| *fires);
            let whole = matches!((first, last), (Some(first), Some(last)) if first > 0 && last + 1 < fires.len());
            *seen.entry(name).or_default() |= whole;
        }
    }
    alerts
        .iter()
        .filter(|alert| !seen.get(alert.name()).copied().unwrap_or(false))
        .map(|alert| {
            format!(
                "{TESTS}: {}: no test in which it does not fire yet, fires, and ends",
                alert.name()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_without_its_parts_is_told_which() {
        let alert: Rule = serde_yaml_ng::from_str("{alert: PlainsightX, expr: up}").unwrap();
        let found = described(&alert, &BTreeSet::new());
        for part in [
            "severity",
            "summary",
            "description",
            "runbook_url",
            "no heading",
            "for",
        ] {
            assert!(
                found.iter().any(|line| line.contains(part)),
                "{part}: {found:?}"
            );
        }
    }

    #[test]
    fn an_alert_that_was_only_seen_firing_is_not_tested() {
        let alert: Rule = serde_yaml_ng::from_str("{alert: PlainsightX, expr: up}").unwrap();
        let course = |steps: &[&str]| -> TestFile {
            let steps: String = steps
                .iter()
                .map(|alerts| format!("  - {{alertname: PlainsightX, exp_alerts: {alerts}}}\n"))
                .collect();
            serde_yaml_ng::from_str(&format!("tests:\n- alert_rule_test:\n{steps}")).unwrap()
        };
        let alerts = [alert];
        assert_eq!(tested(&alerts, &course(&["[{}]"])).len(), 1);
        assert_eq!(tested(&alerts, &course(&["[]", "[{}]"])).len(), 1);
        assert_eq!(tested(&alerts, &course(&["[]", "[{}]", "[]"])).len(), 0);
    }

    #[test]
    fn the_repository_s_alerts_are_whole() {
        assert_eq!(problems(&crate::root()).unwrap(), Vec::<String>::new());
    }
}
