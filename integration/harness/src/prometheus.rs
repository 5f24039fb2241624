//! A real Prometheus process and its query API.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::callers::Caller;
use crate::eventually::eventually;
use crate::ports::ReservedPort;
use crate::process::Process;

/// The folder of its blocks.
const STORAGE: &str = "series";

/// A running Prometheus. Dropping it kills the process.
pub struct Prometheus {
    process: Process,
    api: Api,
    _folder: TempDir,
    _port: ReservedPort,
}

impl Prometheus {
    /// Starts `prometheus` from `PATH` in a folder with these files, including `prometheus.yml`, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// No such program, or a configuration that it rejects; the log's tail is in the message.
    pub async fn start(files: &[(&str, String)]) -> anyhow::Result<Self> {
        Self::start_with(files, "").await
    }

    /// The same, with the samples of an OpenMetrics text in its storage.
    ///
    /// # Errors
    /// As [`Prometheus::start`], or `promtool` rejects the text.
    pub async fn start_with(files: &[(&str, String)], samples: &str) -> anyhow::Result<Self> {
        let port = ReservedPort::take()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let folder = tempfile::Builder::new()
            .prefix("plainsight-prometheus-")
            .tempdir()?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).with_context(|| (*name).to_owned())?;
        }
        if !samples.is_empty() {
            store(folder.path(), samples)?;
        }
        let log = folder.path().join("log");
        let mut process = Process::start("prometheus", log, |command| {
            command
                .arg("--config.file=prometheus.yml")
                .arg(format!("--storage.tsdb.path={STORAGE}"))
                .arg(format!("--web.listen-address={address}"))
                .current_dir(folder.path());
        })?;
        process
            .ready("prometheus: ready", async || {
                Caller::http1("127.0.0.1").get(address, "/-/ready").await
            })
            .await?;
        Ok(Self {
            process,
            api: Api::at(address),
            _folder: folder,
            _port: port,
        })
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn store(folder: &Path, samples: &str) -> anyhow::Result<()> {
    let text = "samples.txt";
    std::fs::write(folder.join(text), samples)?;
    std::fs::create_dir(folder.join(STORAGE))?;
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([text, STORAGE])
        .current_dir(folder)
        .output()
        .context("promtool: install the package prometheus")?;
    let error = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "promtool: {error}");
    Ok(())
}

impl std::ops::Deref for Prometheus {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The query API of a Prometheus.
#[derive(Debug, Clone, Copy)]
pub struct Api {
    address: SocketAddr,
}

impl Api {
    /// The API of the Prometheus that listens on `address`.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Its listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rows of an instant query.
    ///
    /// # Errors
    /// Prometheus rejects the query; its answer is in the message.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<Row>> {
        let path = format!("query?query={}", percent_encoded(expression));
        rows(&self.get(&path).await?).with_context(|| expression.to_owned())
    }

    /// `data` of another page of the API, such as `alerts`.
    ///
    /// # Errors
    /// No answer, or an error in it.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let caller = Caller::http1("127.0.0.1");
        let mut connection = caller.connect(self.address).await?;
        let reply = connection.exchange(&format!("/api/v1/{path}")).await?;
        let mut answer: Value = serde_json::from_slice(&reply.body)
            .with_context(|| format!("prometheus: {path}: status {}", reply.status))?;
        ensure!(
            answer["status"] == "success",
            "prometheus: {path}: {answer}"
        );
        Ok(answer["data"].take())
    }

    /// Polls a query until `check` passes.
    ///
    /// # Errors
    /// The last error of `check`, with the rows.
    pub async fn until<T>(
        &self,
        what: &str,
        expression: &str,
        check: impl Fn(&[Row]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let check = &check;
        eventually(what, || async move {
            let rows = self.query(expression).await?;
            check(&rows).with_context(|| format!("{expression}: {rows:?}"))
        })
        .await
    }
}

/// A row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Row {
    /// The value of the label `name`, empty if absent.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

fn rows(data: &Value) -> anyhow::Result<Vec<Row>> {
    let row = |metric: &Value, sample: &Value| {
        let value = sample[1].as_str().context("a sample without a value")?;
        Ok(Row {
            labels: serde_json::from_value(metric.clone())?,
            value: value.parse()?,
        })
    };
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("scalar") => Ok(vec![row(&Value::Object(Default::default()), result)?]),
        Some("vector") => result
            .as_array()
            .into_iter()
            .flatten()
            .map(|series| row(&series["metric"], &series["value"]))
            .collect(),
        other => bail!("prometheus: result: expected a vector or a scalar, got {other:?}"),
    }
}

fn percent_encoded(expression: &str) -> String {
    utf8_percent_encode(expression, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn vectors_and_scalars_are_rows() {
        let vector = json!({"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1, "2.5"]}]});
        let found = rows(&vector).unwrap();
        assert_eq!((found[0].label("a"), found[0].label("c")), ("b", ""));
        assert_eq!(found[0].value, 2.5);
        let scalar = json!({"resultType": "scalar", "result": [1, "4"]});
        assert_eq!(rows(&scalar).unwrap()[0].value, 4.0);
        let error = rows(&json!({"resultType": "string"})).unwrap_err();
        assert!(error.to_string().contains("string"), "{error}");
    }
}
