//! A real Prometheus with the project's rules, and the question put to it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail, ensure};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use plainsight_harness::ports::ReservedPort;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::callers::{CAST, Home};
use crate::kube_state_metrics::KubeStateMetrics;
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
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    _names: KubeStateMetrics,
    _port: ReservedPort,
}

impl Prometheus {
    /// Starts it and waits until it knows who holds which address.
    ///
    /// # Errors
    /// There is no `prometheus` on the path, it ended (its log's tail is in the message), or it knows nobody yet
    /// after a minute.
    pub async fn start(envoy: SocketAddr) -> anyhow::Result<Self> {
        let names = KubeStateMetrics::start().await?;
        let port = ReservedPort::take()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let folder = tempfile::Builder::new()
            .prefix("plainsight-prometheus-")
            .tempdir()?;
        std::fs::write(folder.path().join("rules.yml"), rules::at_demo_pace()?)?;
        std::fs::write(
            folder.path().join("prometheus.yml"),
            configuration(envoy, names.address())?.to_string(),
        )?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        // Should this process be killed, the kernel ends its child: setpriv(1), --pdeathsig.
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "--",
                "prometheus",
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=series",
            ])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("prometheus: setpriv: cannot be started")?;
        let mut prometheus = Self {
            child,
            address,
            folder,
            _names: names,
            _port: port,
        };
        prometheus.knows_the_cast().await?;
        Ok(prometheus)
    }

    /// A sighting is named by who held its address then, so nobody may call before the holders are known.
    async fn knows_the_cast(&mut self) -> anyhow::Result<()> {
        let Self {
            child,
            address,
            folder,
            ..
        } = self;
        let address = *address;
        let holders = CAST
            .iter()
            .filter(|member| member.home != Home::Machine)
            .count();
        eventually("prometheus: the holders of the addresses are known", || {
            let ended = child.try_wait();
            let log = log_tail(folder);
            async move {
                if let Some(status) = ended? {
                    return Ok(Err(anyhow!(
                        "prometheus: ended: {status}; the last lines of its log:\n{log}"
                    )));
                }
                let known = query(address, HOLDERS).await?;
                ensure!(
                    known.len() == holders,
                    "{} of {holders} addresses have a holder",
                    known.len()
                );
                Ok(Ok(()))
            }
        })
        .await
        .with_context(|| log_tail(folder))?
    }

    /// Who stands in the way, as soon as the rules have an answer for every one of `expected` ports and addresses.
    ///
    /// # Errors
    /// They have none after a minute.
    pub async fn blocking_callers(&self, expected: usize) -> anyhow::Result<Vec<Named>> {
        eventually("prometheus: the rules name the callers", || async {
            let mut named: Vec<Named> = query(self.address, BLOCKING)
                .await?
                .iter()
                .map(Named::read)
                .collect();
            named.sort();
            named.dedup();
            if named.len() < expected {
                bail!("{BLOCKING}: {} of {expected} rows: {named:?}", named.len());
            }
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
            self.address
        );
        for (what, expression) in TO_TRY {
            let rows = query(self.address, expression).await?.len();
            let _ = writeln!(text, "  {expression}\n      {what}; rows now: {rows}");
        }
        Ok(text)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The label sets of an instant query's answer.
async fn query(prometheus: SocketAddr, query: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/api/v1/query?query={}", percent_encoded(query));
    let reply = Caller::http1("127.0.0.1").get(prometheus, &path).await?;
    let answer: Value = serde_json::from_slice(&reply.body)?;
    let result = answer["data"]["result"]
        .as_array()
        .with_context(|| format!("prometheus: {query}: {answer}"))?;
    Ok(result
        .iter()
        .map(|series| series["metric"].clone())
        .collect())
}

fn log_tail(folder: &TempDir) -> String {
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
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

/// Percent-encoded for a query string: everything but unreserved characters (RFC 3986, section 2.3).
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
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
    fn read(labels: &Value) -> Self {
        let label = |key: &str| labels[key].as_str().unwrap_or_default().to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_the_way_through_a_url() {
        assert_eq!(percent_encoded(r#"a:b{c="1h"}"#), "a%3Ab%7Bc%3D%221h%22%7D");
    }
}
