//! The command: its reader of the API, and the built program with a Prometheus that holds given evidence.

use std::path::Path;
use std::process::{Command as Program, Stdio};

use anyhow::{Context, ensure};
use plainsight_cli::source::kubernetes::{self, KubernetesArgs};
use plainsight_cluster::chart::root;
use plainsight_cluster::cluster::{Cluster, ROUTER};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use tempfile::TempDir;
use tokio::process::Child;

#[path = "../../../../cli/tests/common/mesh.rs"]
#[allow(dead_code, reason = "the command's tests use all of it")]
pub mod mesh;

/// What the command reads from the API, as the administrator.
pub async fn cluster(cluster: &Cluster) -> anyhow::Result<plainsight_cli::model::cluster::Cluster> {
    let arguments = KubernetesArgs {
        kubeconfig: Some(cluster.kubeconfig()),
        context: None,
        no_cluster: false,
        istio_namespace: "istio-system".into(),
        root_namespace: None,
    };
    let read = async move {
        // It has a runtime of its own, so it needs a thread, which is in the namespace of the one that starts it.
        let thread = std::thread::spawn(move || kubernetes::read(&arguments));
        let read = thread
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        read?.context("no kubeconfig")
    };
    cluster.outside(read).await
}

/// The command's answer.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the built command in a folder, with a Prometheus and a kubeconfig.
pub async fn ask(
    cluster: &Cluster,
    prometheus: &str,
    folder: &Path,
    kubeconfig: &Path,
    arguments: &[&str],
) -> anyhow::Result<Answer> {
    let binary = root().join("target/debug/plainsight");
    ensure!(binary.is_file(), "{}: not built", binary.display());
    let mut command = cluster.command(&binary);
    command
        .env("KUBECONFIG", kubeconfig)
        .env("PLAINSIGHT_PROMETHEUS", prometheus)
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    let output = command
        .output()
        .await
        .context("plainsight: cannot be run")?;
    Ok(Answer {
        code: output.status.code().context("plainsight: killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// A Prometheus in the cluster's network, and the command that asks it.
pub struct Evidence<'a> {
    cluster: &'a Cluster,
    url: String,
    _prometheus: Child,
    folder: TempDir,
}

const PORT: u16 = 9491;

impl<'a> Evidence<'a> {
    /// Debian's Prometheus with blocks of these series.
    pub async fn start(cluster: &'a Cluster, mesh: &mesh::Mesh) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("metrics"), mesh.openmetrics())?;
        std::fs::write(folder.path().join("prometheus.yml"), "global: {}\n")?;
        let made = Program::new("promtool")
            .args([
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "-q",
                &at("metrics"),
                &at("data"),
            ])
            .output()
            .context("promtool: cannot be run")?;
        ensure!(
            made.status.success(),
            "promtool: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let log = std::fs::File::create(folder.path().join("prometheus.log"))?;
        let mut prometheus = cluster.command("/usr/bin/prometheus");
        prometheus
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address={ROUTER}:{PORT}"))
            .arg("--storage.tsdb.retention.time=200d")
            .stdout(Stdio::null())
            .stderr(log);
        let prometheus = prometheus.spawn().context("prometheus: cannot be run")?;
        eventually("prometheus: ready", || async {
            let get = async {
                Caller::http1(&ROUTER.to_string())
                    .get((ROUTER, PORT).into(), "/-/ready")
                    .await
            };
            let log = || std::fs::read_to_string(folder.path().join("prometheus.log"));
            cluster
                .outside(get)
                .await
                .with_context(|| log().unwrap_or_default())
        })
        .await?;
        Ok(Self {
            cluster,
            url: format!("http://{ROUTER}:{PORT}"),
            _prometheus: prometheus,
            folder,
        })
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command, as the administrator.
    pub async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Answer> {
        self.ask_as(&self.cluster.kubeconfig(), arguments).await
    }

    /// The command with another kubeconfig.
    pub async fn ask_as(&self, kubeconfig: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
        ask(
            self.cluster,
            &self.url,
            self.folder(),
            kubeconfig,
            arguments,
        )
        .await
    }
}
