//! A real Prometheus with the project's rules, and the question put to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use plainsight_harness::kube_state_metrics::KubeStateMetrics;
use plainsight_harness::prometheus::{self, Row};
use serde_json::{Value, json};

use crate::callers::{self, CAST, Home};
use crate::{rules, table};

const SCRAPE: &str = include_str!("../../../envoy-config/prometheus/prometheus.yml");

/// Who blocks STRICT, by the rules.
const BLOCKING: &str = r#"plainsight:caller:last_seen_timestamp_seconds{strict="reject"}"#;

const TO_TRY: [(&str, &str); 3] = [
    ("who STRICT would break", BLOCKING),
    (
        "how many of them block the namespace, probes and scrapes left out",
        r#"plainsight:namespace:blocking_callers{window="1h",counted="app"}"#,
    ),
    (
        "seconds since each of them was last there",
        "sort_desc(time() - max by (caller, destination_port) (plainsight:caller:last_seen_timestamp_seconds))",
    ),
];

/// Who holds which address, by the rules.
const HOLDERS: &str = "plainsight:address:caller";

/// A running Prometheus that scrapes the server's sidecar; it ends when dropped.
pub struct Prometheus {
    running: prometheus::Prometheus,
    _names: KubeStateMetrics,
}

impl Prometheus {
    /// Starts it and waits until every address of the cast has its holder: a caller gets the name of the address's
    /// holder at that time, so no caller may come before.
    ///
    /// # Errors
    /// There is no `prometheus` on the path, it ended (its log's tail is in the message), or the holders are not known
    /// after a minute.
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
            .count();
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

    /// The blocking callers, as soon as the rules have an answer for all of `expected` ports and addresses.
    ///
    /// # Errors
    /// They have none after a minute.
    pub async fn blocking_callers(&self, expected: usize) -> anyhow::Result<Vec<Named>> {
        let what = "prometheus: the rules name the callers";
        self.running
            .until(what, BLOCKING, |rows| {
                let mut named: Vec<Named> = rows.iter().map(Named::read).collect();
                named.sort();
                named.dedup();
                ensure!(
                    named.len() >= expected,
                    "{} of {expected} callers: {named:?}",
                    named.len()
                );
                Ok(named)
            })
            .await
    }

    /// Three queries for a person who keeps the demo running, each with how many rows it has now.
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

/// The shipped jobs, scraped every second. Debian's Prometheus has no Kubernetes discovery: the targets and the labels that
/// it would attach are written down here.
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
                json!([{"targets": [envoy.to_string()], "labels": {"namespace": "shop", "pod": "orders-1"}}])
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

/// A caller with its name, on one port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    caller: String,
    kind: String,
    destination: String,
    port: String,
    peer: String,
    traffic: String,
}

impl Named {
    fn read(row: &Row) -> Self {
        let label = |key| row.label(key).to_owned();
        Self {
            caller: label("caller"),
            kind: label("caller_kind"),
            destination: format!(
                "{}/{}",
                label("destination_workload_namespace"),
                label("destination_workload")
            ),
            port: label("destination_port"),
            peer: label("peer"),
            traffic: label("traffic"),
        }
    }

    /// The one line: whom to talk to.
    pub fn answer(named: &[Self]) -> String {
        let callers: BTreeSet<&str> = named.iter().map(|row| row.caller.as_str()).collect();
        let list: Vec<&str> = callers.iter().copied().collect();
        format!(
            "STRICT would break {} callers: {}.",
            list.len(),
            list.join(", ")
        )
    }
}

/// The rows as text.
pub fn render(named: &[Named]) -> String {
    let header = ["CALLER", "KIND", "DESTINATION", "PORT", "PEER", "TRAFFIC"].map(str::to_owned);
    let lines = named.iter().map(|row| {
        let Named {
            caller,
            kind,
            destination,
            port,
            peer,
            traffic,
        } = row.clone();
        [caller, kind, destination, port, peer, traffic]
    });
    table::columns(header, lines)
}
