//! The measured Envoy: started on a CPU of its own, asked through its admin port, ended with its owner.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::schedstat;

/// How long anything may take that has no reason to fail: generous, since it only ends what hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running Envoy. Dropping it ends the process.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    folder: TempDir,
    admin: String,
}

impl Envoy {
    /// Starts `binary` with this bootstrap and this many workers, on this CPU alone if one is named, and waits until
    /// it serves.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not serve in time; the end of its log is in the error.
    pub fn start(
        binary: &Path,
        bootstrap: &Value,
        cpu: Option<usize>,
        workers: u32,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("bootstrap.json");
        fs::write(&config, serde_json::to_vec_pretty(bootstrap)?)?;
        let admin_file = folder.path().join("admin");
        let log = File::create(folder.path().join("log"))?;

        let mut command = match cpu {
            // taskset becomes Envoy, so its process id is Envoy's.
            Some(cpu) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", &cpu.to_string()]).arg(binary);
                taskset
            }
            None => Command::new(binary),
        };
        let process = command
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &workers.to_string()])
            .arg("--disable-hot-restart")
            .args(["--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{}: cannot be started", binary.display()))?;

        let mut envoy = Self {
            process,
            folder,
            admin: String::new(),
        };
        envoy.wait_until_ready(&admin_file)?;
        Ok(envoy)
    }

    fn wait_until_ready(&mut self, admin_file: &Path) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("envoy: ended with {status}; its log: {}", self.log_tail());
            }
            if self.admin.is_empty() {
                self.admin = fs::read_to_string(admin_file).unwrap_or_default();
            } else if self.get("/ready").is_ok_and(|body| body.trim() == "LIVE") {
                return Ok(());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "envoy: not ready after {PATIENCE:?}; its log: {}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.admin.trim());
        let mut response = ureq::get(&url).call().with_context(|| url.clone())?;
        response.body_mut().read_to_string().with_context(|| url)
    }

    /// What Envoy calls itself, such as `1.40.0`.
    ///
    /// # Errors
    /// The admin port does not answer, or in another form.
    pub fn version(&self) -> Result<String> {
        let info: Value = serde_json::from_str(&self.get("/server_info")?)?;
        // The form is commit/version/state/build type/TLS library.
        let version = info["version"].as_str().and_then(|v| v.split('/').nth(1));
        Ok(version
            .with_context(|| format!("/server_info: version: got {}", info["version"]))?
            .to_owned())
    }

    /// The port that the listener of this name was given.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn address_of(&self, listener: &str) -> Result<SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.get("/listeners?format=json")?)?;
        let port = listeners["listener_statuses"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|status| status["name"] == listener)
            .and_then(|status| status["local_address"]["socket_address"]["port_value"].as_u64());
        let port = port.with_context(|| format!("listener {listener}: not among {listeners}"))?;
        Ok(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)))
    }

    /// The counters and gauges whose names match this regular expression.
    ///
    /// # Errors
    /// The admin port does not answer, or a value is no number.
    pub fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.get(&format!("/stats?type=All&filter={filter}"))?;
        text.lines()
            .filter_map(|line| line.rsplit_once(": "))
            // Histograms and text values have no place here.
            .filter(|(_, value)| value.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|(name, value)| Ok((name.to_owned(), value.parse()?)))
            .collect()
    }

    /// Envoy's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time of all of Envoy's threads so far.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        schedstat::cpu_time(self.process.id())
            .with_context(|| format!("envoy; its log: {}", self.log_tail()))
    }

    /// The last lines of Envoy's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let path: PathBuf = self.folder.path().join("log");
        let log = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself; errors are ignored.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
