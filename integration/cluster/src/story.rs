//! The whole migration, from PERMISSIVE to STRICT and back, in a [`Cluster`]: one source for the test, the command
//! (`make demo-cluster`) and docs/story.md. Every step checks what it shows.

mod cast;
mod pace;
mod traffic;
mod transcript;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::chart::folder as chart;
use crate::cluster::Cluster;
use crate::program::program;
use cast::Cast;
use traffic::Line;
pub use transcript::Transcript;
use transcript::{Outcome, run};

/// The window of the story. The command takes any length; a real migration takes 14d, or 35d.
const WINDOW: &str = "2m";
/// Calls in a row that must all have the predicted outcome.
const IN_A_ROW: u32 = 10;
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

/// Tells it from begin to end; the cluster has the registry and monitoring.
///
/// # Errors
/// A step did not do what it should; the message says which.
pub async fn story(cluster: &Cluster, transcript: &mut Transcript) -> anyhow::Result<()> {
    let mut story = Story::begin(cluster, transcript).await?;
    story.install().await.context("install")?;
    let before = story.who_calls().await.context("who calls")?;
    story.repair().await.context("repair")?;
    story.plan().await.context("plan")?;
    story.switch(&before).await.context("switch")?;
    story.back().await.context("rollback")?;
    story.remove().await.context("remove")
}

struct Story<'a> {
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
             `shop` and `billing` have sidecars. Nobody has a PeerAuthentication, so every workload takes plaintext and mutual TLS.",
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

    /// Runs a command line of a person and tells it.
    async fn command(&mut self, line: &str) -> anyhow::Result<Outcome> {
        let outcome = self.quietly(line).await?;
        self.transcript.command(line, &outcome);
        Ok(outcome)
    }

    /// The same without telling.
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

    async fn install(&mut self) -> anyhow::Result<()> {
        self.transcript.heading("Canary, namespace, mesh");
        let image = self.cluster.image()?;
        let repository = image["repository"].as_str().context("no repository")?;
        let registry = repository
            .rsplit_once('/')
            .context("no registry")?
            .0
            .to_owned();
        let package = format!(
            "helm package {} --destination .",
            chart().canonicalize()?.display()
        );
        let package = self.quietly(&package).await?.expect(0)?;
        let package = package
            .output
            .trim()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let push = format!("helm push {package} oci://{registry}/charts --plain-http");
        self.command(&push).await?.expect(0)?;

        let mut values = json!({
            "image": image,
            "namespaces": ["shop"],
            "workload": {"matchLabels": {"app": "orders"}},
        });
        self.values(&values)?;
        let chart = format!(
            "plainsight oci://{registry}/charts/plainsight --plain-http -n monitoring --values values.yaml"
        );
        self.command(&format!("helm install {chart}"))
            .await?
            .expect(0)?;
        pace::quicken(self.cluster).await?;
        self.transcript.say(pace::NOTE);
        self.until_the_filter_runs(&["shop/orders"]).await?;
        ensure!(
            !self.has_filter("shop/stock").await?,
            "the canary reached shop/stock"
        );
        self.transcript.say("The canary's sidecar shows the filter; the other workload of the namespace has none. Now the namespaces, then the mesh:");

        values["workload"] = json!({});
        values["namespaces"] = json!(["shop", "billing"]);
        let upgrade = format!("helm upgrade {chart} --hide-notes");
        self.values(&values)?;
        self.command(&upgrade).await?.expect(0)?;
        self.until_the_filter_runs(&["shop/orders", "shop/stock", "billing/ledger"])
            .await?;
        values["namespaces"] = json!([]);
        self.values(&values)?;
        self.command(&upgrade).await?.expect(0)?;
        pace::quicken(self.cluster).await?;
        self.until_the_filter_runs(&["shop/orders", "shop/stock", "billing/ledger"])
            .await?;
        self.command("kubectl get wasmplugins,podmonitors,prometheusrules -A")
            .await?
            .expect(0)?
            .says(&["istio-system", "plainsight"])?;
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
            let answer = self.json(&line).await?;
            for caller in answer["callers"].as_array().context("no callers")? {
                let text = |key: &str| caller[key].as_str().unwrap_or_default().to_owned();
                rows.push(Row {
                    name: text("name"),
                    workload: format!("{namespace}/{}", text("destinationWorkload")),
                    port: caller["destinationPort"].to_string(),
                    strict: text("strict"),
                    cause: text("cause"),
                });
            }
        }
        Ok(rows)
    }

    async fn who_calls(&mut self) -> anyhow::Result<Vec<Row>> {
        self.transcript.heading("Who would break?");
        self.cast.nightly().await?;
        // Every caller without mutual TLS has a row, and no other has.
        let rows = until("the evidence names every caller", PATIENCE, async || {
            let rows = self.evidence("1h").await?;
            for line in self.lines() {
                let known = rows.iter().any(|row| row.is(line));
                ensure!(
                    known != line.name.starts_with("shop/"),
                    "{}: in the evidence: {known}: {rows:?}",
                    line.name
                );
            }
            Ok(rows)
        })
        .await?;
        for row in &rows {
            ensure!(
                self.lines().any(|line| row.is(line)),
                "nobody of the cast: {row:?}"
            );
            ensure!(row.strict == "reject", "{row:?}");
        }
        for (name, cause) in [
            ("legacy/nightly", "no-sidecar"),
            ("legacy/exporter", "own-tls"),
            ("node-1", "node-address"),
            ("finance/reports", "no-sidecar"),
            ("10.77.1.10", "outside-mesh"),
        ] {
            ensure!(
                rows.iter()
                    .any(|row| row.name == name && row.cause == cause),
                "{name}: not {cause}: {rows:?}"
            );
        }
        until("every pod is covered", PATIENCE, async || {
            self.quietly("plainsight report --window 1s")
                .await?
                .says(&["shop", "billing"])
        })
        .await?;
        self.command("plainsight doctor").await?;
        let report = format!("plainsight report --window {WINDOW}");
        self.command(&report).await?.expect(2)?.says(&["not yet"])?;
        self.command(&format!("plainsight explain shop --window {WINDOW}"))
            .await?
            .says(&["legacy/nightly", "node-1", "legacy/exporter"])?;
        self.command(&format!("plainsight explain billing --window {WINDOW}"))
            .await?
            .says(&["legacy/debug", "10.77.1.10"])?;
        Ok(rows)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.cast.traffic.iter().map(|traffic| &traffic.line)
    }

    async fn repair(&mut self) -> anyhow::Result<()> {
        self.transcript.heading("Repair");
        self.transcript.say("`finance/reports` gets a sidecar:");
        self.cast.stop("finance/reports").await;
        self.command("kubectl label namespace finance istio-injection=enabled")
            .await?
            .expect(0)?;
        self.command("kubectl -n finance rollout restart deployment/reports")
            .await?
            .expect(0)?;
        self.cast.inject_reports().await?;

        self.transcript.say(
            "`legacy/warehouse` and `legacy/exporter` cannot get one soon: port 9000 of `shop/orders` stays open for them. The filter is told first:",
        );
        let values =
            json!({"exemptions": [{"port": 9000, "namespace": "shop", "workload": "orders"}]});
        let text = serde_yaml_ng::to_string(&values)?;
        std::fs::write(self.folder.path().join("exemptions.yaml"), &text)?;
        self.transcript.file("exemptions.yaml", &text);
        let image = self.cluster.image()?;
        let repository = image["repository"].as_str().context("no repository")?;
        let registry = repository.rsplit_once('/').context("no registry")?.0;
        let upgrade = format!(
            "helm upgrade plainsight oci://{registry}/charts/plainsight --plain-http -n monitoring --values values.yaml --values exemptions.yaml --hide-notes"
        );
        self.command(&upgrade).await?.expect(0)?;
        pace::quicken(self.cluster).await?;

        self.transcript.say("The others are no longer wanted. The CronJob is suspended, the agent, the debug pod and the client outside stop calling.");
        self.command(
            "kubectl -n legacy patch cronjob nightly --patch {\"spec\":{\"suspend\":true}}",
        )
        .await?
        .expect(0)?;
        for name in ["legacy/nightly", "node-1", "legacy/debug", "10.77.1.10"] {
            self.cast.stop(name).await;
        }
        self.transcript.say(&format!(
            "From here on everybody waits for the window: {WINDOW} in this story. **A real migration waits two weeks here, or five if a job runs monthly.**"
        ));
        until("every namespace is ready", PATIENCE, async || {
            let report = format!("plainsight report -n shop -n billing --window {WINDOW}");
            self.quietly(&report).await?.expect(0)
        })
        .await?;
        self.command(&format!("plainsight report --window {WINDOW}"))
            .await?;
        Ok(())
    }

    async fn plan(&mut self) -> anyhow::Result<()> {
        self.transcript.heading("Plan and gate");
        for namespace in ["shop", "billing"] {
            let plan =
                format!("plainsight plan -n {namespace} --window {WINDOW} --dir {namespace}");
            self.command(&plan).await?.expect(0)?;
        }
        for part in ["shop/policies", "billing/policies"] {
            let mut files = std::fs::read_dir(self.folder.path().join(part))?
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<Vec<_>>>()?;
            files.sort();
            for file in files {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let text = std::fs::read_to_string(&file)?;
                self.transcript.file(&format!("{part}/{name}"), &text);
            }
        }
        self.command(&format!(
            "plainsight gate -f shop/policies -f billing/policies --window {WINDOW}"
        ))
        .await?
        .expect(0)?
        .says(&["STRICT, 9000 PERMISSIVE", "passed"])?;
        Ok(())
    }

    async fn switch(&mut self, before: &[Row]) -> anyhow::Result<()> {
        self.transcript.heading("STRICT");
        let now = self.evidence(WINDOW).await?;
        let predictions = self.predict(before, &now)?;
        self.command("kubectl apply -f shop/policies -f billing/policies")
            .await?
            .expect(0)?;
        let switched = Instant::now();
        self.transcript
            .say("Everybody calls, those who had stopped included:");
        let mut table =
            "| caller | calls | predicted | under STRICT |\n|---|---|---|---|".to_owned();
        for (line, verdict) in predictions {
            let served = verdict != "reject";
            eventually("the policy is in force", async || {
                self.in_a_row(&line, served).await
            })
            .await?;
            table += &format!(
                "\n| `{}` | `{}:{}` | {verdict} | {} |",
                line.name,
                line.workload,
                line.port,
                if served { "served" } else { "refused" }
            );
        }
        self.transcript.say(&table);
        self.no_request_lost()?;
        let since = format!("{}s", switched.elapsed().as_secs().max(20));
        let verify =
            format!("plainsight verify -n shop -n billing --since {since} --window {WINDOW}");
        self.command(&verify).await?.expect(3)?;
        let answer = self.json(&verify).await?;
        for (key, wanted) in [
            ("callers", json!([])),
            ("stopped", json!([])),
            ("turnedAway", json!([])),
        ] {
            ensure!(answer[key] == wanted, "verify: {key}: {}", answer[key]);
        }
        self.transcript.say("Nobody is still served without mutual TLS, nobody fell silent, no port lost its traffic. The command wants eight minutes of traffic before it says so with exit code 0.");
        Ok(())
    }

    /// Who will be served: what the evidence says of those who call now, and of the others what it said when they called.
    fn predict(&self, before: &[Row], now: &[Row]) -> anyhow::Result<Vec<(Line, String)>> {
        let mut predictions: Vec<(Line, String)> = Vec::new();
        for traffic in &self.cast.traffic {
            let line = &traffic.line;
            // A workload that was restarted calls as its new pod does.
            let same = |other: &Line| other.name == line.name && other.port == line.port;
            let newer = self.lines().filter(|other| same(other)).last();
            if newer.is_some_and(|newer| newer.address() != line.address()) {
                continue;
            }
            let rows = if traffic.is_calling() { now } else { before };
            let mut verdicts: Vec<&str> = rows
                .iter()
                .filter(|row| row.is(line))
                .map(|row| row.strict.as_str())
                .collect();
            // Evidence from before the exemption is there too: the newer one counts, as in `plainsight:port:exempt`.
            if verdicts.contains(&"exempt") {
                verdicts.retain(|verdict| *verdict == "exempt");
            }
            let verdict = match verdicts[..] {
                [] => "allow",
                [one] => one,
                _ => bail!("{}: {verdicts:?}", line.name),
            };
            predictions.push((line.clone(), verdict.to_owned()));
        }
        let of = |verdict: &str| predictions.iter().filter(|(_, one)| one == verdict).count();
        ensure!(
            (of("allow"), of("exempt"), of("reject")) == (3, 2, 4),
            "predictions: {:?}",
            predictions
                .iter()
                .map(|(line, verdict)| (&line.name, verdict))
                .collect::<Vec<_>>()
        );
        Ok(predictions)
    }

    async fn in_a_row(&self, line: &Line, served: bool) -> anyhow::Result<()> {
        for _ in 0..IN_A_ROW {
            let outcome = line.call().await;
            ensure!(
                outcome.is_ok() == served,
                "{} calls {}:{}: {outcome:?}",
                line.name,
                line.workload,
                line.port
            );
        }
        Ok(())
    }

    async fn back(&mut self) -> anyhow::Result<()> {
        self.transcript.heading("Back, as planned");
        self.command("kubectl apply -f shop/rollback -f billing/rollback")
            .await?
            .expect(0)?;
        let lines: Vec<Line> = self
            .cast
            .traffic
            .iter()
            .filter(|traffic| !traffic.is_calling() && traffic.line.name != "finance/reports")
            .map(|traffic| traffic.line.clone())
            .collect();
        for line in &lines {
            eventually("the rollback is in force", async || {
                self.in_a_row(line, true).await
            })
            .await?;
        }
        self.transcript
            .say("Those who were refused are served again.");
        Ok(())
    }

    async fn remove(&mut self) -> anyhow::Result<()> {
        self.transcript.heading("Remove");
        self.command("helm uninstall plainsight -n monitoring")
            .await?
            .expect(0)?;
        for workload in ["shop/orders", "shop/stock", "billing/ledger"] {
            until("the filter is gone", PATIENCE, async || {
                ensure!(!self.has_filter(workload).await?, "{workload}: has series");
                Ok(())
            })
            .await?;
        }
        self.no_request_lost()?;
        let mut table = "| caller | calls | served | lost | connections closed by a drain |\n|---|---|---|---|---|".to_owned();
        for traffic in &mut self.cast.traffic {
            traffic.stop().await;
            let (line, counts) = (&traffic.line, &traffic.counts);
            table += &format!(
                "\n| `{}` | `{}:{}` | {} | {} | {} |",
                line.name,
                line.workload,
                line.port,
                counts.served.load(Ordering::Relaxed),
                counts.lost().len(),
                counts.closed.load(Ordering::Relaxed)
            );
        }
        self.transcript
            .say("The sidecars show no series of the filter any more. All calls of the story:");
        self.transcript.say(&table);
        self.no_request_lost()
    }

    fn no_request_lost(&self) -> anyhow::Result<()> {
        for traffic in &self.cast.traffic {
            let (line, lost) = (&traffic.line, traffic.counts.lost());
            ensure!(
                lost.is_empty() && traffic.counts.served.load(Ordering::Relaxed) > 0,
                "{} calls {}:{}: {} lost: {lost:?}",
                line.name,
                line.workload,
                line.port,
                lost.len()
            );
        }
        Ok(())
    }
}

/// One caller of one port, as `plainsight explain` has it.
#[derive(Debug)]
struct Row {
    name: String,
    workload: String,
    port: String,
    strict: String,
    cause: String,
}

impl Row {
    fn is(&self, line: &Line) -> bool {
        self.name == line.name
            && self.workload == line.workload
            && self.port == line.port.to_string()
    }
}

/// The command, built beside this program or the test.
fn plainsight() -> anyhow::Result<PathBuf> {
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
        "\nThe cluster runs in a network namespace of its own, until Ctrl-C. To try:\n\
         {inside} {kubectl} {kubeconfig} get pods -A -o wide\n\
         {inside} {plainsight} report {kubeconfig} --prometheus http://{prometheus} --window 2m\n\
         {inside} curl -s 'http://{prometheus}/api/v1/query?query=plainsight:workload:pods'\n\
         Logs and kubeconfig: {}",
        cluster.folder().display()
    ))
}
