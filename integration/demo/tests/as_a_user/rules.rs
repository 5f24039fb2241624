//! Every rule, alert and dashboard query is answered by a real Prometheus that scrapes real Envoys.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::life::Kept;

const DEADLINE: Duration = Duration::from_secs(60);

const RULES: &str = include_str!("../../../../envoy-config/prometheus/plainsight.rules.yml");
const DASHBOARD: &str = include_str!("../../../../envoy-config/grafana/plainsight.json");

/// The body of a page of Prometheus's API.
fn get(address: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /api/v1/{path} HTTP/1.0\r\nHost: {address}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

/// Polls until `check` succeeds: each group of rules is evaluated once a second, at its own time.
fn eventually(check: impl Fn() -> Result<(), String>) {
    let started = Instant::now();
    while let Err(problem) = check() {
        assert!(started.elapsed() < DEADLINE, "{problem}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn query(address: &str, expression: &str) -> Value {
    let encoded: String = expression
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    get(address, &format!("query?query={encoded}"))
}

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

/// The expression as Grafana sends it: windows, ways of counting and intervals set, every other variable "all".
fn substituted(expression: &str) -> String {
    let mut text = expression.to_owned();
    for (variable, value) in [
        ("__rate_interval", "5m"),
        ("__interval", "1m"),
        ("__range", "1h"),
        ("window", "1h"),
        ("counted", "all"),
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

#[test]
fn every_rule_and_every_panel_is_answered() {
    let (_kept, text) = Kept::start();
    let (_, rest) = text.split_once("Prometheus: http://").unwrap();
    let (address, _) = rest.split_once('/').unwrap();

    eventually(|| {
        let rules = get(address, "rules");
        let healthy: Vec<&Value> = rules["data"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap())
            .filter(|rule| rule["health"] == "ok")
            .collect();
        let expected = RULES.matches("- record:").count();
        match healthy.len() == expected {
            true => Ok(()),
            false => Err(format!(
                "{} of {expected} rules are healthy: {rules}",
                healthy.len()
            )),
        }
    });

    for series in [
        "plainsight:caller:first_seen_timestamp_seconds{caller_kind=\"CronJob\"}",
        "plainsight:caller:last_seen_timestamp_seconds{traffic=\"probe\", caller_kind=\"Node\"}",
        "plainsight:port:connections:rate5m{peer=\"mutual_tls\"}",
        "plainsight:port:requests:rate5m{traffic=\"scrape\"}",
        "plainsight:setup:problem{problem=\"sidecar_containers_missing\"}",
        "plainsight:namespace:blocking_callers{window=\"35d\", counted=\"all\"} == 5",
        "plainsight:namespace:ready{window=\"1h\", counted=\"all\"} == 0",
    ] {
        eventually(|| {
            let answer = query(address, series);
            match answer["data"]["result"].as_array() {
                Some(rows) if !rows.is_empty() => Ok(()),
                _ => Err(format!("{series}: no rows: {answer}")),
            }
        });
    }

    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut panels = Vec::new();
    expressions(&dashboard["panels"], &mut panels);
    assert!(!panels.is_empty(), "a dashboard without queries");
    for (title, expression) in panels {
        let answer = query(address, &substituted(&expression));
        assert_eq!(
            answer["status"], "success",
            "{title}: {expression}: {answer}"
        );
    }
}
