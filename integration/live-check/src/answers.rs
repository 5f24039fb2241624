//! Asks everything and compares: rules, alerts, dashboard.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use plainsight_harness::eventually::eventually;
use serde_json::Value;

use crate::dashboard::{Dashboard, Query, Selection};
use crate::expected::World;
use crate::expected_rules::{Expected, FIRING};
use crate::prometheus::Prometheus;
use crate::questions::{Question, ask_all};

/// Checks everything, prints the list with the rows, and returns the sum in words.
///
/// # Errors
/// The first thing that is not as the traffic implies.
pub async fn check(prometheus: &Prometheus, world: &World) -> anyhow::Result<String> {
    let rules = rules(prometheus, world).await?;
    let alerts = alerts(prometheus).await?;
    let dashboard = Dashboard::read()?;
    for name in World::NAMES {
        ensure!(
            dashboard.queries.iter().any(|query| query.name == name),
            "dashboard: {name}: expected, and no query of that name"
        );
    }
    let readings = readings(prometheus, &dashboard).await?;
    let mut questions = Vec::new();
    for query in &dashboard.queries {
        for selection in &readings {
            questions.push(question(world, query, selection)?);
        }
    }
    let rows = ask_all(prometheus, &questions).await.context("dashboard")?;
    for (query, rows) in dashboard.queries.iter().zip(rows.chunks(readings.len())) {
        let spread: BTreeSet<usize> = rows.iter().copied().collect();
        println!(
            "query  {:<58} rows {:>3}, by variable {spread:?}",
            query.name, rows[0]
        );
        ensure!(
            rows.iter().any(|count| *count > 0),
            "dashboard: {}: no row for any value of any variable",
            query.name
        );
    }
    healthy(prometheus).await?;
    let complaints = prometheus.complaints();
    ensure!(
        complaints.is_empty(),
        "prometheus: complaints in its log:\n{}",
        complaints.join("\n")
    );
    Ok(format!(
        "{rules} rules, {alerts} alerts and {} queries with {} choices of variables ({} questions) answered as the traffic implies",
        dashboard.queries.len(),
        readings.len(),
        questions.len()
    ))
}

async fn rules(prometheus: &Prometheus, world: &World) -> anyhow::Result<usize> {
    let answer = prometheus.get("rules?type=record").await?;
    let mut questions = Vec::new();
    for rule in listed(&answer) {
        let name = rule["name"].as_str().context("rule: no name")?.to_owned();
        let expected = world
            .series(&name)
            .with_context(|| format!("{name}: a rule of which nothing is expected"))?;
        questions.push(Question {
            expression: name.clone(),
            name,
            instant: true,
            expected,
        });
    }
    ensure!(!questions.is_empty(), "prometheus: no rules");
    let rows = ask_all(prometheus, &questions).await.context("rules")?;
    for (question, rows) in questions.iter().zip(rows) {
        println!("rule   {:<58} rows {rows:>3}", question.name);
    }
    Ok(questions.len())
}

/// The rules in an answer of `/api/v1/rules`.
fn listed(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

/// No rule's last evaluation failed.
async fn healthy(prometheus: &Prometheus) -> anyhow::Result<()> {
    let answer = prometheus.get("rules").await?;
    for rule in listed(&answer) {
        ensure!(
            rule["health"] == "ok",
            "{}: {}",
            rule["name"],
            rule["lastError"]
        );
    }
    Ok(())
}

async fn alerts(prometheus: &Prometheus) -> anyhow::Result<usize> {
    let expected: BTreeSet<&str> = FIRING.into();
    let firing = eventually("the alerts fire", || async {
        let answer = prometheus.get("alerts").await?;
        let firing: BTreeSet<String> = answer["alerts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|alert| alert["state"] == "firing")
            .filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned))
            .collect();
        ensure!(
            firing
                .iter()
                .map(String::as_str)
                .eq(expected.iter().copied()),
            "firing: {firing:?}, expected: {expected:?}"
        );
        Ok(firing)
    })
    .await?;
    for name in &firing {
        println!("alert  {name:<58} fires");
    }
    Ok(firing.len())
}

/// The dashboard as it opens, then each variable with each of its values, as Grafana would list them.
async fn readings(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
) -> anyhow::Result<Vec<Selection>> {
    let opens = Selection {
        window: "30d".to_owned(),
        counted: "app|probe|scrape".to_owned(),
        ..Selection::default()
    };
    let mut readings = vec![opens.clone()];
    for window in &dashboard.windows {
        readings.push(Selection {
            window: window.clone(),
            ..opens.clone()
        });
    }
    for counted in &dashboard.counted {
        readings.push(Selection {
            counted: counted.clone(),
            ..opens.clone()
        });
    }
    for (name, definition) in &dashboard.variables {
        let values = label_values(prometheus, &opens.substitute(definition)).await?;
        ensure!(!values.is_empty(), "variable {name}: no values");
        println!("values {name:<58} {}", values.join(", "));
        for value in values {
            let value = Some(value);
            readings.push(match name.as_str() {
                "cluster" => Selection {
                    cluster: value,
                    ..opens.clone()
                },
                "namespace" => Selection {
                    namespace: value,
                    ..opens.clone()
                },
                "workload" => Selection {
                    workload: value,
                    ..opens.clone()
                },
                "caller" => Selection {
                    caller: value,
                    ..opens.clone()
                },
                other => bail!("variable: {other}: not known"),
            });
        }
    }
    Ok(readings)
}

/// Grafana's `label_values(SELECTOR, LABEL)`.
async fn label_values(prometheus: &Prometheus, definition: &str) -> anyhow::Result<Vec<String>> {
    let (selector, label) = definition
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|inner| inner.rsplit_once(','))
        .with_context(|| {
            format!("variable: expected label_values(SELECTOR, LABEL), got {definition}")
        })?;
    let label = label.trim();
    let rows = prometheus
        .query(&format!("count by ({label}) ({selector})"))
        .await?;
    Ok(rows.iter().map(|row| row.label(label).to_owned()).collect())
}

fn question(world: &World, query: &Query, selection: &Selection) -> anyhow::Result<Question> {
    let expected = world.rows(&query.name, selection).with_context(|| {
        format!(
            "dashboard: {}: a query of which nothing is expected",
            query.name
        )
    })?;
    Ok(Question {
        name: format!("{} ({selection})", query.name),
        expression: selection.substitute(&query.expression),
        instant: query.instant,
        expected: Expected::Exactly(expected),
    })
}
