//! kube-state-metrics, the Prometheus operator and the Prometheus that it makes.
//!
//! The test has the part of the operator's configuration reloader: it unpacks what the operator wrote for Prometheus.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;

use super::{Api, Cluster, PATIENCE, ROUTER};
use crate::pod::Pod;
use crate::program::{program, source};

const NAMESPACE: &str = "monitoring";
/// The operator's name for the Secret and the StatefulSet of the resource `main`.
const NAME: &str = "prometheus-main";
const FOLDER: &str = "etc/prometheus";
/// What the operator makes.
const MADE: [&str; 2] = [
    "--selector=managed-by=prometheus-operator",
    "--namespace=monitoring",
];

/// A running Prometheus whose configuration follows the operator's.
pub(super) struct Monitoring {
    prometheus: Arc<Pod>,
    reloader: AbortHandle,
}

impl Monitoring {
    /// Installs the three from their own manifests, runs them and waits until Prometheus answers.
    pub(super) async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let bundle = source("PLAINSIGHT_OPERATOR_SOURCE")?.join("bundle.yaml");
        let bundle =
            std::fs::read_to_string(&bundle).with_context(|| bundle.display().to_string())?;
        cluster.apply(&bundle).await?;
        let state_metrics = source("PLAINSIGHT_STATE_METRICS_SOURCE")?.join("examples/standard");
        let state_metrics = state_metrics.display().to_string();
        cluster
            .kubectl(&["apply", "-k", &state_metrics], "")
            .await?;
        eventually("the operator's definitions are served", || {
            cluster.apply(include_str!("monitoring.yaml"))
        })
        .await?;
        tokio::try_join!(
            cluster.rollout("default", "deployment/prometheus-operator"),
            cluster.rollout("kube-system", "deployment/kube-state-metrics"),
        )?;
        let stateful_set = format!("statefulset/{NAME}");
        let made = [
            "wait",
            "--for=create",
            &stateful_set,
            "-n",
            NAMESPACE,
            PATIENCE,
        ];
        cluster.kubectl(&made, "").await?;
        let pods = cluster.rollout(NAMESPACE, &stateful_set).await?;
        let [prometheus] = &pods[..] else {
            anyhow::bail!("{NAMESPACE}: {} pods", pods.len());
        };
        let reloader = Reloader {
            api: Api::clone(cluster),
            pod: prometheus.object.clone(),
            root: prometheus.file("prometheus", "/")?,
            address: (prometheus.address, PORT).into(),
        };
        Ok(Self {
            reloader: tokio::spawn(reloader.run()).abort_handle(),
            prometheus: Arc::clone(prometheus),
        })
    }
}

impl Cluster {
    /// The pod of the operator's Prometheus.
    ///
    /// # Errors
    /// The cluster was started without monitoring.
    pub fn prometheus_pod(&self) -> anyhow::Result<Arc<Pod>> {
        let monitoring = self.monitoring.as_ref();
        let monitoring = monitoring.context("cluster: started without monitoring")?;
        Ok(Arc::clone(&monitoring.prometheus))
    }

    /// Where it answers, for programs that [`Api::command`] runs.
    ///
    /// # Errors
    /// The cluster was started without monitoring.
    pub fn prometheus(&self) -> anyhow::Result<SocketAddr> {
        Ok((self.prometheus_pod()?.address, PORT).into())
    }

    /// What the operator's Prometheus answers to a GET.
    ///
    /// # Errors
    /// The cluster was started without monitoring, or Prometheus does not answer with 200.
    pub async fn ask_prometheus(&self, path: &str) -> anyhow::Result<String> {
        let (to, path) = (self.prometheus()?, path.to_owned());
        let asked = path.clone();
        let caller = Caller::http1(&ROUTER.to_string());
        let reply = self.outside(async move { caller.get(to, &asked).await });
        let reply = reply.await.with_context(|| path.clone())?;
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        ensure!(reply.status == 200, "{path}: {}: {body}", reply.status);
        Ok(body)
    }

    /// The rows of an instant query whose result is a vector.
    ///
    /// # Errors
    /// As [`Self::ask_prometheus`].
    pub async fn query(&self, promql: &str) -> anyhow::Result<Vec<Value>> {
        let encoded = utf8_percent_encode(promql, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query?query={encoded}");
        let mut answer: Value = serde_json::from_str(&self.ask_prometheus(&path).await?)?;
        match answer["data"]["result"].take() {
            Value::Array(rows) => Ok(rows),
            _ => anyhow::bail!("{promql}: no vector: {answer}"),
        }
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.reloader.abort();
    }
}

const PORT: u16 = 9090;

/// Writes the operator's configuration where Prometheus reads it.
pub(crate) async fn write_configuration(api: &Api, pod: &Value, root: &Path) -> anyhow::Result<()> {
    let secret = api.get(&["secret", NAME, "-n", NAMESPACE]).await?;
    let packed = secret["data"]["prometheus.yaml.gz"].as_str();
    let packed = BASE64_STANDARD.decode(packed.context("no prometheus.yaml.gz")?)?;
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("gzip: cannot be run")?;
    let mut input = gzip.stdin.take().context("gzip: no stdin")?;
    let write = async move { input.write_all(&packed).await };
    let (output, written) = tokio::join!(gzip.wait_with_output(), write);
    let (output, ()) = (output?, written?);
    ensure!(output.status.success(), "gzip: {}", output.status);
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    // The environment of the reloader. Its own shard is what a target's hash must be.
    let text = String::from_utf8(output.stdout)?
        .replace("$(POD_NAME)", name)
        .replace("$(SHARD)", "0");
    let place = root.join(FOLDER).join("config_out");
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("prometheus.env.yaml"), text)?;
    Ok(())
}

/// What the operator's configuration reloader and a kubelet do after the start.
struct Reloader {
    api: Api,
    pod: Value,
    root: PathBuf,
    address: SocketAddr,
}

impl Reloader {
    async fn run(self) {
        if let Err(error) = self.follow().await {
            eprintln!("cluster: Prometheus gets no new configuration: {error:#}");
        }
    }

    async fn follow(&self) -> anyhow::Result<()> {
        let (mut secrets, mut rules) = (self.watch("secrets")?, self.watch("configmaps")?);
        let lines = |child: &mut Child| {
            let output = child.stdout.take().context("kubectl: no output");
            Ok::<_, anyhow::Error>(BufReader::new(output?).lines())
        };
        let (mut secret_lines, mut rule_lines) = (lines(&mut secrets)?, lines(&mut rules)?);
        loop {
            let line = tokio::select! {
                line = secret_lines.next_line() => line?,
                line = rule_lines.next_line() => line?,
            };
            line.context("kubectl: the watch ended")?;
            // It may be restarting.
            eventually("Prometheus reloads", || self.reload()).await?;
        }
    }

    fn watch(&self, kind: &str) -> anyhow::Result<Child> {
        let mut command = self.api.command(program("kubectl")?);
        // It ends with the cluster, not before it by Ctrl-C in a terminal, which would be reported.
        command.process_group(0);
        command.args(["get", kind, "--watch", "--output=name"]);
        Ok(command.args(MADE).stdout(Stdio::piped()).spawn()?)
    }

    async fn reload(&self) -> anyhow::Result<()> {
        write_configuration(&self.api, &self.pod, &self.root).await?;
        let maps = [&["configmaps"], &MADE[..]].concat();
        let maps = self.api.get(&maps).await?;
        for map in maps["items"].as_array().into_iter().flatten() {
            let name = map["metadata"]["name"].as_str().unwrap_or_default();
            let place = self.root.join(FOLDER).join("rules").join(name);
            if !place.is_dir() {
                continue;
            }
            let files = map["data"].as_object();
            for entry in std::fs::read_dir(&place)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if !files.is_some_and(|files| files.contains_key(&name)) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            for (name, text) in files.into_iter().flatten() {
                std::fs::write(place.join(name), text.as_str().unwrap_or_default())?;
            }
        }
        let address = self.address;
        let ask = async move {
            let mut stream = TcpStream::connect(address).await?;
            let request = "POST /-/reload HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            ensure!(answer.starts_with("HTTP/1.0 200"), "reload: {answer}");
            Ok(())
        };
        self.api.network.run(ask).await
    }
}
