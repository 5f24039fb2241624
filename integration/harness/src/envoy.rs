//! A real Envoy process: start, readiness, reconfiguration by files, metrics and log.

mod admin;
mod process;

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually::eventually;
use crate::exposition::Scrape;
use crate::shapes::{ClientSidecar, Sidecar};
use process::Process;

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

/// A running Envoy. Dropping it kills the process; if the thread panics, the log's tail is printed to standard error.
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
        let binary = crate::path_from_environment("PLAINSIGHT_ENVOY", "make test-integration")?;
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
        let concurrency = configuration.concurrency().to_string();
        let drain_seconds = configuration.drain_seconds().to_string();
        let mut process = Process::spawn(
            &binary,
            &[
                "--config-path".as_ref(),
                bootstrap_path.as_os_str(),
                "--admin-address-path".as_ref(),
                admin_path.as_os_str(),
                "--concurrency".as_ref(),
                concurrency.as_ref(),
                // No shared memory, so two Envoys cannot share a base id.
                "--disable-hot-restart".as_ref(),
                // A replaced listener drains immediately.
                "--drain-time-s".as_ref(),
                drain_seconds.as_ref(),
                "--drain-strategy".as_ref(),
                "immediate".as_ref(),
                "--log-level".as_ref(),
                "warning".as_ref(),
                "--component-log-level".as_ref(),
                "wasm:info,config:info,upstream:info,main:warning".as_ref(),
            ],
            folder.path().join("envoy.log"),
        )?;
        first().await.with_context(|| process.log_tail())?;
        let admin = eventually("envoy: ready", || {
            let outcome = match process.exit_status() {
                Some(status) => Ok(Err(format!(
                    "envoy: ended at start: {status}\n{}",
                    process.log_tail()
                ))),
                None => read_address(&admin_path).map(Ok),
            };
            async move {
                let address = match outcome? {
                    Err(ended) => return Ok(Err(ended)),
                    Ok(address) => address,
                };
                let ready = admin::request("GET", address, "/ready").await?;
                ensure!(ready.trim() == "LIVE", "envoy: not live: {ready}");
                Ok(Ok(address))
            }
        })
        .await
        .with_context(|| process.log_tail())?
        .map_err(anyhow::Error::msg)?;
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
    /// sees it.
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

    /// Waits until every connection of its listeners has closed, and its filters with it.
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
        self.process.exit_status().is_none()
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
