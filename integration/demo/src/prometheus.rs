//! A real Prometheus with the project's rules, and queries to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use plainsight_harness::kube_state_metrics::KubeStateMetrics;
use plainsight_harness::prometheus;
use serde_json::{Value, json};

use crate::callers::{self, CAST, Home};
use crate::rules;

const SCRAPE: &str = include_str!("../../../envoy-config/prometheus/prometheus.yml");

/// The callers that block STRICT.
const BLOCKING: &str = r#"plainsight:caller:last_seen_timestamp_seconds{strict="reject"}"#;

/// The number of reporting pods of the called workload.
const COVERAGE: &str = r#"plainsight:workload:pods_reporting{destination_workload="orders"} > 0"#;

const TO_TRY: [(&str, &str); 3] = [
    ("callers that STRICT would break", BLOCKING),
    (
        "number of them that block the namespace, without probes and scrapes",
        r#"plainsight:namespace:blocking_callers{window="1h",counted="app"}"#,
    ),
    (
        "seconds since each of them was last seen",
        "sort_desc(time() - max by (caller, destination_port) (plainsight:caller:last_seen_timestamp_seconds))",
    ),
];

/// The owners of addresses.
const HOLDERS: &str = "plainsight:address:caller";

/// A running Prometheus that scrapes the server's sidecar; it ends when dropped.
pub struct Prometheus {
    running: prometheus::Prometheus,
    _names: KubeStateMetrics,
}

impl Prometheus {
    /// Starts Prometheus and waits until the owner of every caller's address is known: a caller is named after the owner at
    /// the time of its call, so calls must come later.
    ///
    /// # Errors
    /// No `prometheus` in `PATH`, it exited (the log's tail is in the message), or the owners are not known after a
    /// minute.
    pub async fn start(envoy: SocketAddr) -> anyhow::Result<Self> {
        let names = KubeStateMetrics::start(callers::cluster()).await?;
        let configuration = configuration(envoy, names.address())?;
        let running = prometheus::Prometheus::start(&[
            ("prometheus.yml", configuration.to_string()),
            ("rules.yml", rules::at_demo_pace()?),
        ])
        .await?;
        let holders = CAST
            .iter()
            .filter(|member| member.home != Home::Machine)
            .count()
            + 1; // the called workload's own
        let what = "prometheus: the holders of the addresses are known";
        running
            .until(what, HOLDERS, |known| {
                ensure!(
                    known.len() == holders,
                    "{} of {holders} addresses have a holder",
                    known.len()
                );
                Ok(())
            })
            .await
            .with_context(|| running.log())?;
        Ok(Self {
            running,
            _names: names,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// Waits until the evidence names every plaintext caller on each of its ports, and the rules count the workload's pods.
    ///
    /// Rows are not counted: a probe that was application traffic for a second has two.
    ///
    /// # Errors
    /// Not within a minute; the message names the callers that are there.
    pub async fn wait_for_callers(&self) -> anyhow::Result<()> {
        let callers = callers::plaintext().count();
        let ports: usize = callers::plaintext().map(|member| member.ports.len()).sum();
        let what = "prometheus: the rules name the callers";
        self.running
            .until(what, BLOCKING, |rows| {
                let pairs = rows
                    .iter()
                    .map(|row| (row.label("caller"), row.label("destination_port")));
                let pairs: BTreeSet<_> = pairs.collect();
                let named: BTreeSet<_> = pairs.iter().map(|(caller, _)| caller).collect();
                ensure!(
                    named.len() == callers && pairs.len() == ports,
                    "expected {callers} callers on {ports} ports, got {} on {}: {pairs:?}",
                    named.len(),
                    pairs.len()
                );
                Ok(())
            })
            .await?;
        let what = "prometheus: the rules count the pods";
        self.running
            .until(what, COVERAGE, |rows| {
                ensure!(!rows.is_empty(), "no rows");
                Ok(())
            })
            .await
    }

    /// Three queries to try while the demo keeps running, each with its current number of rows.
    ///
    /// # Errors
    /// Prometheus does not answer one of them.
    pub async fn queries_to_try(&self) -> anyhow::Result<String> {
        let mut text = format!(
            "Prometheus: http://{}/graph. Three queries to try:\n",
            self.running.address()
        );
        for (what, expression) in TO_TRY {
            let rows = self.running.query(expression).await?.len();
            let _ = writeln!(text, "  {expression}\n      {what}; rows now: {rows}");
        }
        Ok(text)
    }
}

/// The shipped scrape jobs, scraped every second. Debian's Prometheus has no Kubernetes discovery, so the targets and
/// their labels are static here.
fn configuration(envoy: SocketAddr, names: SocketAddr) -> anyhow::Result<Value> {
    let mut configuration: Value = serde_yaml_ng::from_str(SCRAPE)?;
    configuration["global"] = json!({"scrape_interval": "1s", "scrape_timeout": "1s"});
    configuration["rule_files"] = json!(["rules.yml"]);
    for job in configuration["scrape_configs"]
        .as_array_mut()
        .context("prometheus.yml: scrape_configs: expected a list")?
    {
        let targets = match job["job_name"].as_str() {
            Some("plainsight-sidecars") => {
                json!([{"targets": [envoy.to_string()], "labels": {"namespace": "shop", "pod": "orders-7d9f8c6b5-x2x7q"}}])
            }
            Some("kube-state-metrics") => json!([{"targets": [names.to_string()]}]),
            other => bail!("prometheus.yml: scrape_configs: a job without targets here: {other:?}"),
        };
        let job = job
            .as_object_mut()
            .context("prometheus.yml: scrape_configs: expected objects")?;
        job.remove("kubernetes_sd_configs");
        job.remove("relabel_configs");
        job.insert("static_configs".to_owned(), targets);
    }
    Ok(configuration)
}
