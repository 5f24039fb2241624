//! The whole migration, from PERMISSIVE to STRICT and back, in a [`Cluster`]: one source for the test, the command
//! (`make demo-cluster`) and docs/story.md. Every step checks what it shows.

mod callers;
mod cast;
mod evidence;
mod install;
mod switch;
mod traffic;
mod transcript;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use plainsight_harness::eventually::eventually;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::program::program;
use cast::Cast;
use evidence::Row;
use traffic::Line;
pub use transcript::Transcript;
use transcript::{Outcome, run};

/// The window of the story. The command takes any length; a real migration takes 14d, or 35d.
const WINDOW: &str = "2m";
/// A wait that includes the window, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Polls more slowly and for longer than [`eventually`]: an attempt starts a program, and a window has to pass.
pub(crate) async fn until<T>(
    what: &str,
    patience: Duration,
    attempt: impl AsyncFn() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if started.elapsed() > patience {
            return Err(error.context(format!("{what}: not within {} s", patience.as_secs())));
        }
        sleep(Duration::from_secs(2)).await;
    }
}

/// Runs it up to the rollback; the cluster has the registry and monitoring.
///
/// # Errors
/// A step did not do what it should; the message says which.
pub async fn story<'a>(
    cluster: &'a Cluster,
    transcript: &'a mut Transcript,
) -> anyhow::Result<Story<'a>> {
    let mut story = Story::begin(cluster, transcript).await?;
    install::install(&mut story).await.context("install")?;
    let before = callers::who_calls(&mut story).await.context("who calls")?;
    callers::repair(&mut story).await.context("repair")?;
    switch::plan(&mut story).await.context("plan")?;
    switch::switch(&mut story, &before)
        .await
        .context("switch")?;
    switch::back(&mut story).await.context("rollback")?;
    Ok(story)
}

/// A migration: the callers call as long as it lives.
pub struct Story<'a> {
    cluster: &'a Cluster,
    transcript: &'a mut Transcript,
    cast: Cast<'a>,
    plainsight: PathBuf,
    folder: tempfile::TempDir,
}

impl<'a> Story<'a> {
    async fn begin(cluster: &'a Cluster, transcript: &'a mut Transcript) -> anyhow::Result<Self> {
        transcript.heading("The mesh, PERMISSIVE");
        transcript.say(
            "A real control plane with three nodes, istiod with its webhooks, the Prometheus operator, kube-state-metrics and a registry. \
             `shop` and `billing` have sidecars. There is no PeerAuthentication, so every workload accepts plaintext and mutual TLS.",
        );
        let cast = Cast::start(cluster).await?;
        transcript.say(cast::TABLE);
        transcript.say("All of them call twice a second from here on, and every call is counted.");
        Ok(Self {
            cluster,
            transcript,
            cast,
            plainsight: plainsight()?,
            folder: tempfile::tempdir()?,
        })
    }

    /// The story's end: the removal, and what became of all calls.
    ///
    /// # Errors
    /// As [`story`].
    pub async fn remove(mut self) -> anyhow::Result<()> {
        install::remove(&mut self).await.context("remove")
    }

    /// Runs a command line and shows it.
    async fn command(&mut self, line: &str) -> anyhow::Result<Outcome> {
        let outcome = self.quietly(line).await?;
        self.transcript.command(line, &outcome);
        Ok(outcome)
    }

    /// The same without showing it.
    async fn quietly(&self, line: &str) -> anyhow::Result<Outcome> {
        let words = line.split_whitespace();
        let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
        let (name, arguments) = words.split_first().context("empty command")?;
        let program = match *name {
            "plainsight" => self.plainsight.clone(),
            name => program(name)?,
        };
        run(self.cluster, self.folder.path(), &program, arguments)
            .await
            .context(line.to_owned())
    }

    async fn json(&self, line: &str) -> anyhow::Result<Value> {
        let outcome = self.quietly(&format!("{line} -o json")).await?;
        serde_json::from_str(&outcome.output)
            .with_context(|| format!("{line}: {}{}", outcome.output, outcome.errors))
    }

    fn values(&mut self, values: &Value) -> anyhow::Result<()> {
        let text = serde_yaml_ng::to_string(values)?;
        std::fs::write(self.folder.path().join("values.yaml"), &text)?;
        self.transcript.file("values.yaml", &text);
        Ok(())
    }

    async fn has_filter(&self, workload: &str) -> anyhow::Result<bool> {
        let scrape = self.cast.called(workload)?.scrape().await?;
        Ok(!scrape.plainsight().is_empty())
    }

    async fn until_the_filter_runs(&self, workloads: &[&str]) -> anyhow::Result<()> {
        for workload in workloads {
            eventually("the filter runs", async || {
                ensure!(self.has_filter(workload).await?, "{workload}: no series");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The rows of the evidence: caller, workload, port, verdict.
    async fn evidence(&self, window: &str) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for namespace in ["shop", "billing"] {
            let line = format!("plainsight explain {namespace} --window {window}");
            rows.extend(Row::of(&self.json(&line).await?)?);
        }
        Ok(rows)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.cast.traffic.iter().map(|traffic| &traffic.line)
    }

    /// `HOST:PORT` of the cluster's registry.
    fn registry(&self) -> anyhow::Result<String> {
        let image = self.cluster.image()?;
        let (registry, _) = image["repository"]
            .as_str()
            .and_then(|name| name.split_once('/'))
            .context("no registry")?;
        Ok(registry.to_owned())
    }

    /// How often the TCP connection to a workload was closed.
    fn closed(&self, workload: &str) -> u64 {
        let own = self
            .cast
            .traffic
            .iter()
            .filter(|traffic| traffic.line.workload == workload && traffic.line.port == 9000);
        own.map(|traffic| traffic.counts.closed.load(Ordering::Relaxed))
            .sum()
    }
}

/// The command, built beside this program or the test.
///
/// # Errors
/// It is not there.
pub fn plainsight() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder: &Path| folder.join("plainsight"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{}: no plainsight beside it: cargo build -p plainsight-cli",
                own.display()
            )
        })
}

/// Where everything is and what to try, for a cluster that is kept.
///
/// # Errors
/// The cluster has no monitoring, or a program is missing.
pub fn to_try(cluster: &Cluster) -> anyhow::Result<String> {
    let inside = format!("ip netns exec {}", cluster.network().name());
    let kubeconfig = format!("--kubeconfig {}", cluster.kubeconfig().display());
    let prometheus = cluster.prometheus()?;
    let (kubectl, plainsight) = (program("kubectl")?, plainsight()?);
    let (kubectl, plainsight) = (kubectl.display(), plainsight.display());
    Ok(format!(
        "\nThe cluster runs in a network namespace of its own, with the chart and the callers, until Ctrl-C. To try:\n\
         {inside} {kubectl} {kubeconfig} get pods -A -o wide\n\
         {inside} {plainsight} report {kubeconfig} --prometheus http://{prometheus} --window 2m\n\
         {inside} curl -s 'http://{prometheus}/api/v1/query?query=plainsight:workload:pods'\n\
         Logs and kubeconfig: {}",
        cluster.folder().display()
    ))
}
