//! Every rule, alert and dashboard query is answered by a real Prometheus that scrapes real Envoys.

use anyhow::ensure;
use plainsight_harness::eventually::eventually;
use plainsight_harness::prometheus::Api;
use serde_json::Value;

use crate::life::Kept;

const RULES: &str = include_str!("../../../../envoy-config/prometheus/plainsight.rules.yml");
const DASHBOARD: &str = include_str!("../../../../envoy-config/grafana/plainsight.json");

/// Queries of the panels, nested rows included.
fn expressions(panels: &Value, found: &mut Vec<(String, String)>) {
    for panel in panels.as_array().into_iter().flatten() {
        expressions(&panel["panels"], found);
        for target in panel["targets"].as_array().into_iter().flatten() {
            if let Some(expression) = target["expr"].as_str() {
                found.push((panel["title"].to_string(), expression.to_owned()));
            }
        }
    }
}

/// The expression as Grafana sends it: with a window, a way of counting and an interval, and "all" for other variables.
fn substituted(expression: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in [
        ("__rate_interval", "5m"),
        ("__interval", "1m"),
        ("__range", "1h"),
        ("window:text", "1h"),
        ("window", "3600"),
        ("counted:text", "all"),
        ("counted", "app|probe|scrape"),
    ] {
        for form in [format!("${{{variable}}}"), format!("${variable}")] {
            text = text.replace(&form, value);
        }
    }
    regex::Regex::new(r"\$\{\w+(?::\w+)?\}|\$\w+")
        .unwrap()
        .replace_all(&text, ".*")
        .into_owned()
}

#[tokio::test]
async fn every_rule_and_every_panel_is_answered() {
    let (_kept, text) = Kept::start();
    let (_, rest) = text.split_once("Prometheus: http://").unwrap();
    let (address, _) = rest.split_once('/').unwrap();
    let prometheus = Api::at(address.parse().unwrap());

    let expected = RULES.matches("- record:").count();
    // Each group of rules is evaluated once a second, at its own offset.
    eventually("every rule is healthy", || async {
        let rules = prometheus.get("rules").await?;
        let groups = rules["groups"].as_array().into_iter().flatten();
        let healthy = groups
            .flat_map(|group| group["rules"].as_array().into_iter().flatten())
            .filter(|rule| rule["health"] == "ok")
            .count();
        ensure!(healthy == expected, "{healthy} of {expected}: {rules}");
        Ok(())
    })
    .await
    .unwrap();

    for series in [
        "plainsight:caller:first_seen_timestamp_seconds{caller_kind=\"CronJob\"}",
        "plainsight:caller:last_seen_timestamp_seconds{traffic=\"probe\", caller_kind=\"Node\"}",
        "plainsight:port:connections:rate5m{peer=\"mutual_tls\"}",
        "plainsight:port:requests:rate5m{traffic=\"scrape\"}",
        "plainsight:workload:pods_reporting{destination_workload=\"orders\"} == 1",
        "plainsight:namespace:blocking_callers{window=\"35d\", counted=\"all\"} == 5",
        "plainsight:namespace:ready{window=\"1h\", counted=\"all\"} == 0",
    ] {
        let rows = |rows: &[_]| {
            ensure!(!rows.is_empty(), "no rows");
            Ok(())
        };
        prometheus.until("rows", series, rows).await.unwrap();
    }

    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut panels = Vec::new();
    expressions(&dashboard["panels"], &mut panels);
    assert!(!panels.is_empty(), "a dashboard without queries");
    for (title, expression) in panels {
        let answer = prometheus.query(&substituted(&expression)).await;
        assert!(answer.is_ok(), "{title}: {answer:?}");
    }
}
