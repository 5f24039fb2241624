//! A real Envoy process: start, readiness, file-based reconfiguration, metrics and log.

mod admin;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually::eventually;
use crate::exposition::Scrape;
use crate::process::Process;
use crate::shapes::{ClientSidecar, Sidecar};

/// The configuration of an Envoy.
pub trait Configuration {
    /// The bootstrap without `admin` and `dynamic_resources`.
    fn bootstrap(&self) -> Value;
    /// Its listeners, loaded by file-based LDS.
    fn listeners(&self) -> Vec<Value>;
    /// Worker threads.
    fn concurrency(&self) -> u32;
    /// Drain time of replaced listeners, in seconds.
    fn drain_seconds(&self) -> u32 {
        1
    }
    /// The CPU to pin it to, if any.
    fn cpu(&self) -> Option<usize> {
        None
    }
}

impl Configuration for Sidecar {
    fn bootstrap(&self) -> Value {
        Sidecar::bootstrap(self)
    }
    fn listeners(&self) -> Vec<Value> {
        Sidecar::listeners(self)
    }
    fn concurrency(&self) -> u32 {
        self.concurrency
    }
}

impl Configuration for ClientSidecar {
    fn bootstrap(&self) -> Value {
        ClientSidecar::bootstrap(self)
    }
    fn listeners(&self) -> Vec<Value> {
        ClientSidecar::listeners(self)
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

/// A running Envoy. Dropping it kills the process; on a panic it also prints the log's tail to standard error.
pub struct Envoy {
    process: Process,
    folder: TempDir,
    admin: SocketAddr,
    listeners_version: u32,
}

impl Envoy {
    /// Starts the Envoy of `PLAINSIGHT_ENVOY` and waits until it is ready.
    ///
    /// # Errors
    /// No binary, a configuration that Envoy rejects (the log's tail is in the message), or not ready in time.
    pub async fn start(configuration: &(impl Configuration + Sync)) -> anyhow::Result<Self> {
        Self::start_with_first(configuration, async || Ok(())).await
    }

    /// As [`Envoy::start`], but runs `first` before the harness connects, so its first connection is Envoy's first.
    /// `first` itself polls until the listener is up.
    ///
    /// # Errors
    /// As [`Envoy::start`], and the error of `first`.
    pub async fn start_with_first(
        configuration: &(impl Configuration + Sync),
        first: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let binary = crate::path_from_environment("PLAINSIGHT_ENVOY", "make test ONLY=claims")?;
        let folder = tempfile::Builder::new()
            .prefix("plainsight-envoy-")
            .tempdir()?;
        write_listeners(&folder, 1, configuration)?;
        let mut bootstrap = configuration.bootstrap();
        bootstrap["admin"] =
            json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
        bootstrap["dynamic_resources"] = json!({"lds_config": {"resource_api_version": "V3", "path_config_source": {"path": folder.path().join("lds.json")}}});
        let bootstrap_path = folder.path().join("bootstrap.json");
        std::fs::write(&bootstrap_path, bootstrap.to_string())?;
        let admin_path = folder.path().join("admin");
        let arguments = |command: &mut Command| {
            command
                .arg("--config-path")
                .arg(&bootstrap_path)
                .arg("--admin-address-path")
                .arg(&admin_path)
                .args(["--concurrency", &configuration.concurrency().to_string()])
                // No shared memory, so two Envoys cannot share a base id.
                .arg("--disable-hot-restart")
                // A replaced listener drains immediately.
                .args(["--drain-time-s", &configuration.drain_seconds().to_string()])
                .args(["--drain-strategy", "immediate"])
                .args(["--log-level", "warning"])
                .args([
                    "--component-log-level",
                    "wasm:info,config:info,upstream:info,main:warning",
                ]);
        };
        let log = folder.path().join("envoy.log");
        let mut process = match configuration.cpu() {
            None => Process::start(&binary, log, arguments)?,
            // taskset (util-linux) execs Envoy, so the process id stays the same.
            Some(cpu) => Process::start("taskset", log, |command| {
                command.args(["--cpu-list", &cpu.to_string()]).arg(&binary);
                arguments(command);
            })?
            .named("envoy"),
        };
        first().await.with_context(|| process.log_tail())?;
        let admin = process
            .ready("envoy: ready", async || {
                let address = read_address(&admin_path)?;
                let ready = admin::request("GET", address, "/ready").await?;
                ensure!(ready.trim() == "LIVE", "envoy: not live: {ready}");
                Ok(address)
            })
            .await?;
        let envoy = Self {
            process,
            folder,
            admin,
            listeners_version: 1,
        };
        envoy.settled(1).await?;
        Ok(envoy)
    }

    /// Replaces the listeners by LDS and waits until the new ones serve and the old ones have drained on every worker.
    ///
    /// # Errors
    /// Envoy rejects the listeners, or does not settle in time.
    pub async fn apply(
        &mut self,
        configuration: &(impl Configuration + Sync),
    ) -> anyhow::Result<()> {
        self.listeners_version += 1;
        write_listeners(&self.folder, self.listeners_version, configuration)?;
        self.settled(self.listeners_version).await
    }

    async fn settled(&self, version: u32) -> anyhow::Result<()> {
        eventually("envoy: listeners settled", || async {
            let text = self.get("/stats?filter=^listener_manager").await?;
            let stat = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(&format!("listener_manager.{name}: ")))
                    .unwrap_or("0")
            };
            if stat("lds.version_text") != format!("\"{version}\"") {
                let dump = self
                    .get("/config_dump?resource=dynamic_listeners")
                    .await
                    .unwrap_or_default();
                let reasons: Vec<_> = dump
                    .lines()
                    .filter(|line| line.contains("\"details\""))
                    .collect();
                bail!(
                    "envoy: listeners of version {version}: not taken: {reasons:?}\n{}",
                    self.log_tail()
                );
            }
            for gauge in [
                "total_listeners_warming",
                "total_listeners_draining",
                "total_filter_chains_draining",
            ] {
                ensure!(stat(gauge) == "0", "envoy: {gauge}: {}", stat(gauge));
            }
            ensure!(stat("workers_started") == "1", "envoy: workers not started");
            Ok(())
        })
        .await
    }

    /// The address of its admin interface.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id, for resource measurements.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The body of an admin page.
    ///
    /// # Errors
    /// No connection, or a status other than 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        admin::request("GET", self.admin, path).await
    }

    /// Posts to an admin page, such as `/drain_listeners`.
    ///
    /// # Errors
    /// No connection, or a status other than 200.
    pub async fn post(&self, path: &str) -> anyhow::Result<String> {
        admin::request("POST", self.admin, path).await
    }

    /// `/stats/prometheus`, parsed.
    ///
    /// # Errors
    /// The page cannot be read or parsed.
    pub async fn scrape(&self) -> anyhow::Result<Scrape> {
        Scrape::parse(&self.get("/stats/prometheus").await?)
    }

    /// Polls `/stats/prometheus` until `check` passes. Needed after a close, because a client cannot observe when Envoy
    /// handles it.
    ///
    /// # Errors
    /// The last error of `check`, with all metrics of plainsight.
    pub async fn scrape_until(
        &self,
        what: &str,
        check: impl Fn(&Scrape) -> anyhow::Result<()>,
    ) -> anyhow::Result<Scrape> {
        let check = &check;
        eventually(what, || async move {
            let scrape = self.scrape().await?;
            check(&scrape).with_context(|| scrape.plainsight().join("\n"))?;
            Ok(scrape)
        })
        .await
    }

    /// Waits until every connection of its listeners has closed and its filters are gone.
    ///
    /// # Errors
    /// A connection is still open at the deadline.
    pub async fn idle(&self) -> anyhow::Result<()> {
        eventually("envoy: every connection has closed", || async {
            let text = self
                .get("/stats?filter=^listener\\..*downstream_cx_active$")
                .await?;
            let open: Vec<_> = text
                .lines()
                .filter(|line| !line.starts_with("listener.admin.") && !line.ends_with(": 0"))
                .collect();
            ensure!(open.is_empty(), "envoy: {open:?}");
            Ok(())
        })
        .await
    }

    /// The counters and gauges whose names match a regular expression.
    ///
    /// # Errors
    /// The admin page cannot be read, or a value is not a number.
    pub async fn stats(&self, filter: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let text = self
            .get(&format!("/stats?type=All&filter={filter}"))
            .await?;
        text.lines()
            .filter_map(|line| line.rsplit_once(": "))
            // Skips histograms and text values.
            .filter(|(_, value)| value.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|(name, value)| Ok((name.to_owned(), value.parse()?)))
            .collect()
    }

    /// The address of the listener `name` that was configured with port 0 of 127.0.0.1.
    ///
    /// # Errors
    /// No such listener.
    pub async fn listener_address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let page: Value = serde_json::from_str(&self.get("/listeners?format=json").await?)?;
        let port = page["listener_statuses"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|status| status["name"] == name)
            .and_then(|status| status["local_address"]["socket_address"]["port_value"].as_u64())
            .with_context(|| format!("envoy: no listener {name}: {page}"))?;
        Ok((Ipv4Addr::LOCALHOST, u16::try_from(port)?).into())
    }

    /// Such as `1.40.0`.
    ///
    /// # Errors
    /// The admin page cannot be read or holds no version.
    pub async fn version(&self) -> anyhow::Result<String> {
        let page: Value = serde_json::from_str(&self.get("/server_info").await?)?;
        let version = page["version"].as_str().unwrap_or_default();
        let version = version.split('/').nth(1);
        version
            .map(str::to_owned)
            .with_context(|| format!("envoy: no version: {}", page["version"]))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the log of Envoy {}, its last lines:\n{}",
                self.pid(),
                self.log_tail()
            );
        }
    }
}

fn read_address(path: &std::path::Path) -> anyhow::Result<SocketAddr> {
    let text = std::fs::read_to_string(path).context("envoy: no admin address yet")?;
    text.trim()
        .parse()
        .with_context(|| format!("envoy: admin address: {text}"))
}

/// Envoy watches for a file that is moved into place, so it never reads a partial one:
/// <https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/config_source.proto>.
fn write_listeners(
    folder: &TempDir,
    version: u32,
    configuration: &impl Configuration,
) -> anyhow::Result<()> {
    let resources: Vec<Value> = configuration
        .listeners()
        .into_iter()
        .map(|mut listener| {
            listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            listener
        })
        .collect();
    let response = json!({"version_info": version.to_string(), "resources": resources});
    let fresh = folder.path().join("lds.json.new");
    std::fs::write(&fresh, response.to_string())?;
    std::fs::rename(fresh, folder.path().join("lds.json"))?;
    Ok(())
}
