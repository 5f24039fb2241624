//! The command and the rules give the same answer: `plainsight report` against `plainsight:*:ready`, for every window.

mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::mesh::{DAY, Mesh};
use common::{Prometheus, Server, response};
use serde_json::Value;

const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../envoy-config/prometheus/plainsight.rules.yml"
);

/// Namespaces in every state: the memory of the rules, and the pods as kube-state-metrics and sidecars show them now.
fn mesh() -> (Mesh, String) {
    let mut mesh = Mesh::new();
    let mut raw = String::new();
    let mut workload = |mesh: &mut Mesh,
                        namespace: &str,
                        name: &str,
                        (reporting, pods): (i64, i64),
                        days: i64| {
        mesh.workload(namespace, name, (reporting, pods), days);
        let labels = format!(
            "destination_workload_namespace=\"{namespace}\",destination_workload=\"{name}\""
        );
        if reporting == pods {
            mesh.series("plainsight:workload:covered", &labels, 1);
        }
        for number in 0..pods {
            let pod = format!("namespace=\"{namespace}\",pod=\"{name}-{number}\"");
            writeln!(raw, "kube_pod_info{{{pod},created_by_kind=\"StatefulSet\",created_by_name=\"{name}\",pod_ip=\"10.1.0.{number}\",host_network=\"false\"}} 1").unwrap();
            writeln!(raw, "kube_pod_status_phase{{{pod},phase=\"Running\"}} 1").unwrap();
            for container in ["app", "istio-proxy"] {
                writeln!(
                    raw,
                    "kube_pod_container_info{{{pod},container=\"{container}\"}} 1"
                )
                .unwrap();
            }
            if number < reporting {
                writeln!(raw, "plainsight_build_info{{{pod},version=\"0.2.0\"}} 1").unwrap();
            }
        }
    };
    workload(&mut mesh, "calm", "a", (2, 2), 39);
    workload(&mut mesh, "calm", "b", (1, 1), 15);
    workload(&mut mesh, "busy", "a", (1, 1), 39);
    workload(&mut mesh, "probed", "a", (1, 1), 39);
    workload(&mut mesh, "partly", "a", (1, 2), 39);
    workload(&mut mesh, "partly", "b", (2, 2), 39);
    workload(&mut mesh, "exempt", "a", (1, 1), 39);
    workload(&mut mesh, "young", "a", (1, 1), 0);
    // One caller for each window's edge.
    for (number, ago) in [1_800, 20 * 3_600, 6 * DAY, 13 * DAY, 30 * DAY]
        .into_iter()
        .enumerate()
    {
        mesh.caller(
            &format!("old/app-{number}"),
            "Deployment",
            "busy/a:80",
            ago,
            "",
        );
    }
    mesh.caller(
        "old/app-0",
        "Deployment",
        "busy/a:81",
        2 * DAY,
        "peer=\"tls_passthrough\"",
    );
    mesh.caller(
        "node-1",
        "Node",
        "probed/a:80",
        2 * 3_600,
        "traffic=\"probe\"",
    );
    mesh.caller("old/app-1", "Deployment", "partly/b:80", 3 * DAY, "");
    // Refused until an exemption; another port refused since one ended.
    mesh.caller("old/app-1", "Deployment", "exempt/a:80", 3 * DAY, "");
    mesh.caller(
        "old/app-1",
        "Deployment",
        "exempt/a:80",
        2 * DAY,
        "strict=\"exempt\"",
    );
    mesh.caller(
        "old/app-1",
        "Deployment",
        "exempt/a:81",
        9 * DAY,
        "strict=\"exempt\"",
    );
    mesh.caller("old/app-1", "Deployment", "exempt/a:81", 8 * DAY, "");
    // A workload that is gone.
    mesh.caller("old/app-1", "Deployment", "calm/gone:80", 60 * 60, "");
    (mesh, raw)
}

fn query(prometheus: &Prometheus, promql: &str) -> Vec<Value> {
    let url = format!("{}/api/v1/query", prometheus.url);
    let text = ureq::get(url)
        .query("query", promql)
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["data"]["result"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .clone()
}

fn number(sample: &Value) -> f64 {
    sample["value"][1].as_str().unwrap().parse().unwrap()
}

#[test]
fn report_agrees_with_the_rules_in_every_window() {
    let (mesh, raw) = mesh();
    let exporter =
        Server::start(move |_| Some(response("200 OK", "text/plain; version=0.0.4", &raw)));
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    let text = std::fs::read_to_string(RULES).unwrap();
    std::fs::write(
        &rules,
        text.replace("interval: 2m", "interval: 1s")
            .replace("interval: 4m", "interval: 1s"),
    )
    .unwrap();
    let configuration = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n- job_name: mesh\n  honor_labels: true\n  static_configs: [{{targets: ['{}']}}]\n",
        rules.display(),
        exporter.url.trim_start_matches("http://")
    );
    let prometheus = Prometheus::start(&mesh.samples(mesh.now - 1), &configuration);
    // Every group has been evaluated for ten seconds on what is scraped: each has seen the others' results.
    let deadline = Instant::now() + Duration::from_secs(120);
    let settled = format!(
        "count(plainsight:rules:evaluated_timestamp_seconds > {}) == 7 and on () plainsight:namespace:ready",
        mesh.now
    );
    let stable = "count_over_time(plainsight:rules:evaluated_timestamp_seconds{group=\"readiness-namespace\"}[10m]) > 10";
    while query(&prometheus, &settled).is_empty() || query(&prometheus, stable).is_empty() {
        assert!(
            Instant::now() < deadline,
            "the rules were not evaluated: {:?}",
            query(&prometheus, "plainsight:rules:evaluated_timestamp_seconds")
        );
        std::thread::sleep(Duration::from_millis(200));
    }

    let mut compared = 0;
    let mut ready_seen = [0, 0];
    for window in ["1h", "1d", "7d", "14d", "35d"] {
        for counted in ["all", "app"] {
            let answer = prometheus.ask(&[
                "report",
                "-o",
                "json",
                "--window",
                window,
                "--counted",
                counted,
                "--max-exempt",
                "0",
            ]);
            let report: Value = serde_json::from_str(&answer.out)
                .unwrap_or_else(|error| panic!("{error}: {}", answer.err));
            assert_eq!(report["basis"]["problems"], Value::Array(Vec::new()));
            let find = |namespace: &str, workload: &str| -> Option<(f64, bool)> {
                let row = report["namespaces"]
                    .as_array()?
                    .iter()
                    .find(|row| row["namespace"] == namespace)?;
                if workload.is_empty() {
                    let all = row["workloads"].as_array()?.iter().all(|workload| {
                        workload["blocking"] == Value::Array(Vec::new())
                            && workload["unproven"] == Value::Array(Vec::new())
                    });
                    return Some((row["callers"].as_f64()?, all));
                }
                let row = row["workloads"]
                    .as_array()?
                    .iter()
                    .find(|row| row["workload"] == workload)?;
                Some((
                    row["callers"].as_f64()?,
                    row["blocking"] == Value::Array(Vec::new())
                        && row["unproven"] == Value::Array(Vec::new()),
                ))
            };
            for level in ["workload", "namespace"] {
                let selector = format!("{{window=\"{window}\",counted=\"{counted}\"}}");
                let ready = query(&prometheus, &format!("plainsight:{level}:ready{selector}"));
                let blocking = query(
                    &prometheus,
                    &format!("plainsight:{level}:blocking_callers{selector}"),
                );
                assert_eq!(ready.len(), blocking.len());
                for sample in ready {
                    let labels = &sample["metric"];
                    let same = |other: &&Value| {
                        ["destination_workload_namespace", "destination_workload"]
                            .iter()
                            .all(|name| other["metric"][name] == labels[name])
                    };
                    let callers = number(blocking.iter().find(same).unwrap());
                    let namespace = labels["destination_workload_namespace"].as_str().unwrap();
                    let workload = labels["destination_workload"].as_str().unwrap_or_default();
                    let is_ready = (number(&sample) - 1.0).abs() < 0.5;
                    assert_eq!(
                        find(namespace, workload),
                        Some((callers, is_ready)),
                        "{namespace}/{workload} {window} {counted}"
                    );
                    ready_seen[usize::from(is_ready)] += 1;
                    compared += 1;
                }
            }
        }
    }
    // Six namespaces and eight workloads, five windows, two ways of counting; some ready, some not.
    assert_eq!(compared, (6 + 8) * 10);
    assert!(ready_seen.iter().all(|count| *count > 20), "{ready_seen:?}");
}
