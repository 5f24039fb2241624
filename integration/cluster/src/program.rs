//! Programs that run inside a network namespace and never outlive the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use plainsight_harness::process::Process;

use crate::network::Namespace;

/// A file that `make test-cluster` made, from the folder that `PLAINSIGHT_ISTIO` names.
///
/// # Errors
/// The variable is unset, or there is no such file.
pub fn istio(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("PLAINSIGHT_ISTIO")
        .context("PLAINSIGHT_ISTIO: not set: run make test-cluster")?;
    let path = Path::new(&folder).join(name);
    ensure!(
        path.is_file(),
        "PLAINSIGHT_ISTIO: no such file: {}: run make test-cluster",
        path.display()
    );
    Ok(path)
}

/// How a program is started.
pub struct Start<'a> {
    /// Where it runs.
    pub namespace: &'a Namespace,
    /// The file to run.
    pub binary: &'a Path,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Its environment, in addition to `PATH` and `HOME`; the test's own is not inherited.
    pub environment: &'a [(&'a str, String)],
    /// The folder it runs in; its log goes there too, and `varlib` there stands for `/var/lib`.
    pub folder: &'a Path,
}

/// Starts a program in its namespace. It and its children are killed when dropped, or when the test dies.
///
/// # Errors
/// The folder cannot be written, or a tool of util-linux or iproute2 is missing.
pub fn start(name: &str, start: &Start<'_>) -> anyhow::Result<Process> {
    std::fs::create_dir_all(start.folder.join("varlib"))?;
    let log = start.folder.join(format!("{name}.log"));
    // A process namespace of its own: its children die with it. The agent keeps modules below /var/lib/istio/data, a
    // path that cannot be configured.
    let process = Process::start("unshare", log, |command| {
        command
            .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--"])
            .args([
                "sh",
                "-c",
                "mount --bind \"$PWD/varlib\" /var/lib && exec \"$@\"",
                "sh",
            ])
            .args(["ip", "netns", "exec", start.namespace.name()])
            .arg(start.binary)
            .args(start.arguments)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", start.folder)
            .envs(start.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(start.folder);
    })?;
    Ok(process.named(name))
}

/// Runs a program in a namespace to its end and returns its output.
///
/// # Errors
/// It cannot be run, or ends with a failure; the message holds its output.
pub fn run(namespace: &Namespace, folder: &Path, command: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(["netns", "exec", namespace.name()])
        .args(command)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{}: cannot be run", command[0]))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "{}: {}: {said}",
        command.join(" "),
        output.status
    );
    Ok(said)
}
