//! A real Prometheus: the project's scrape configuration with its discovery answered from a file, the project's rules and
//! alerts at the check's pace.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use plainsight_harness::ports::ReservedPort;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, PODS};
use crate::pace;
use crate::sidecars::Sidecars;

/// What `cluster` is on every series, as an external label would be.
pub const CLUSTER: &str = "east";

/// A running Prometheus; it ends when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    _port: ReservedPort,
}

impl Prometheus {
    /// Starts it and waits until every target answers and no more targets are there than there should be.
    ///
    /// # Errors
    /// There is no `prometheus` on the path, it ended (its log's tail is in the message), or its targets are not up.
    pub async fn start(sidecars: &Sidecars, cluster: &Cluster) -> anyhow::Result<Self> {
        let port = ReservedPort::take()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let folder = tempfile::Builder::new()
            .prefix("plainsight-prometheus-")
            .tempdir()?;
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let project = |name: &str| pace::project_file(&format!("envoy-config/prometheus/{name}"));
        write(
            "plainsight.rules.yml",
            pace::rules(&project("plainsight.rules.yml")?)?,
        )?;
        write(
            "plainsight.alerts.yml",
            pace::alerts(&project("plainsight.alerts.yml")?)?,
        )?;
        let targets = targets(sidecars, cluster);
        let sidecar_targets = targets[0].1.as_array().map_or(0, Vec::len) - FINISHED;
        write(
            "prometheus.yml",
            scrape_configuration(&project("prometheus.yml")?, &targets)?,
        )?;
        for (job, list) in &targets {
            write(&format!("{job}.json"), list.to_string())?;
        }
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
        let prometheus = Self {
            child,
            address,
            folder,
            _port: port,
        };
        prometheus
            .until("every target is up", "sum by (job) (up)", |rows| {
                let up = |job: &str| {
                    rows.iter()
                        .find(|row| row.label("job") == job)
                        .map_or(0.0, |row| row.value)
                };
                ensure!(
                    up("kube-state-metrics") == 1.0,
                    "kube-state-metrics: not up"
                );
                let found = up("plainsight-sidecars");
                ensure!(
                    found as usize == sidecar_targets,
                    "{found} of {sidecar_targets} sidecars are up"
                );
                Ok(())
            })
            .await?;
        Ok(prometheus)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An instant query's rows.
    ///
    /// # Errors
    /// Prometheus refuses the query; its words are in the message.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Row>> {
        let answer = self
            .get(&format!("query?query={}", percent_encoded(expression)))
            .await?;
        rows(&answer).with_context(|| expression.to_owned())
    }

    /// The series of a range query over the last ten seconds; their values are the last ones.
    ///
    /// # Errors
    /// As [`Prometheus::query`].
    pub async fn query_range(&self, expression: &str) -> anyhow::Result<Vec<Row>> {
        let now = self
            .query("time()")
            .await?
            .first()
            .map_or(0.0, |row| row.value);
        let start = now - 10.0;
        let answer = self
            .get(&format!(
                "query_range?query={}&start={start}&end={now}&step=1",
                percent_encoded(expression)
            ))
            .await?;
        rows(&answer).with_context(|| expression.to_owned())
    }

    /// Another page of the API, such as `alerts`.
    ///
    /// # Errors
    /// No answer, or an error instead of one.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let reply = Caller::http1("127.0.0.1")
            .get(self.address, &format!("/api/v1/{path}"))
            .await?;
        let answer: Value = serde_json::from_slice(&reply.body)?;
        ensure!(
            answer["status"] == "success",
            "prometheus: {path}: {answer}"
        );
        Ok(answer["data"].clone())
    }

    /// Polls a query until `check` is content with its rows.
    ///
    /// # Errors
    /// The last error of `check` with the rows and the end of Prometheus' log.
    pub async fn until(
        &self,
        what: &str,
        expression: &str,
        check: impl Fn(&[Row]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let check = &check;
        eventually(what, || async move {
            let rows = self.query(expression).await?;
            check(&rows).with_context(|| format!("{expression}: {rows:?}"))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Warnings and errors of its log: a rule that cannot be evaluated stands there.
    pub fn complaints(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines()
            .filter(|line| {
                line.contains("level=error")
                    || (line.contains("level=warn") && line.contains("ule"))
            })
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only when it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    labels: Value,
    /// Its value.
    pub value: f64,
}

impl Row {
    /// A label's value, empty when it is absent.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

fn rows(data: &Value) -> anyhow::Result<Vec<Row>> {
    let number = |pair: &Value| {
        pair[1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .context("no value")
    };
    match data["resultType"].as_str() {
        Some("scalar") => Ok(vec![Row {
            labels: json!({}),
            value: number(&data["result"])?,
        }]),
        Some("vector" | "matrix") => data["result"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|series| {
                let last = series["values"].as_array().and_then(|values| values.last());
                Ok(Row {
                    labels: series["metric"].clone(),
                    value: number(last.unwrap_or(&series["value"]))?,
                })
            })
            .collect(),
        other => {
            bail!("prometheus: result: expected a vector, a matrix or a scalar, got {other:?}")
        }
    }
}

/// Targets that discovery shows and the configuration must drop.
const FINISHED: usize = 1;

/// What Kubernetes discovery would find, by job: addresses with their meta labels.
/// <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config>
fn targets(sidecars: &Sidecars, cluster: &Cluster) -> [(&'static str, Value); 2] {
    let target = |address: SocketAddr, namespace: &str, pod: &str, phase: &str| {
        json!({"targets": [address.to_string()], "labels": {
            "cluster": CLUSTER,
            "__meta_kubernetes_namespace": namespace,
            "__meta_kubernetes_pod_name": pod,
            "__meta_kubernetes_pod_phase": phase,
            "__meta_kubernetes_pod_container_port_name": "http-envoy-prom",
        }})
    };
    let mut list: Vec<Value> = sidecars
        .pods()
        .iter()
        .map(|pod| {
            target(
                pod.admin(),
                pod.namespace,
                &format!("{}-1", pod.workload),
                "Running",
            )
        })
        .collect();
    for (page, (namespace, pod, _)) in cluster.pods.iter().zip(PODS) {
        list.push(target(page.address(), namespace, pod, "Running"));
    }
    list.push(target(cluster.web.address(), "shop", "web-1", "Running"));
    list.push(target(
        (Ipv4Addr::LOCALHOST, 1).into(),
        "shop",
        "job-1",
        "Succeeded",
    ));
    let names = json!([{"targets": [cluster.kube_state_metrics.address().to_string()], "labels": {
        "cluster": CLUSTER,
        "__meta_kubernetes_service_label_app_kubernetes_io_name": "kube-state-metrics",
        "__meta_kubernetes_endpoint_port_name": "http",
    }}]);
    [
        ("plainsight-sidecars", Value::Array(list)),
        ("kube-state-metrics", names),
    ]
}

/// The project's configuration: scraped every second, discovery from files. Debian's Prometheus has no Kubernetes
/// discovery; relabelling and everything else is the project's own.
fn scrape_configuration(text: &str, targets: &[(&str, Value)]) -> anyhow::Result<String> {
    let mut configuration: Value = serde_yaml_ng::from_str(text)?;
    configuration["global"]["scrape_interval"] = json!("1s");
    configuration["global"]["scrape_timeout"] = json!("1s");
    for scrape in configuration["scrape_configs"]
        .as_array_mut()
        .context("scrape_configs: no list")?
    {
        let job = scrape["job_name"]
            .as_str()
            .context("job_name: no text")?
            .to_owned();
        ensure!(
            targets.iter().any(|(name, _)| *name == job),
            "scrape_configs: {job}: a job without targets here"
        );
        let fields = scrape
            .as_object_mut()
            .context("scrape_configs: no object")?;
        fields
            .remove("kubernetes_sd_configs")
            .with_context(|| format!("{job}: no kubernetes_sd_configs"))?;
        fields.insert(
            "file_sd_configs".to_owned(),
            json!([{"files": [format!("{job}.json")]}]),
        );
    }
    Ok(configuration.to_string())
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
