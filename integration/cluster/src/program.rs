//! Programs that run inside a network namespace and never outlive the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use plainsight_harness::process::Process;

use crate::network::Namespace;

/// A program that `make test-cluster` built, from the folders that `PLAINSIGHT_PROGRAMS` names.
///
/// # Errors
/// The variable is unset, or no folder has such a file.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folders = std::env::var_os("PLAINSIGHT_PROGRAMS")
        .context("PLAINSIGHT_PROGRAMS: not set: run make test-cluster")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            let folders = folders.display();
            format!("PLAINSIGHT_PROGRAMS: no program {name} in {folders}: run make test-cluster")
        })
}

/// The folder of a Go module whose manifests are used; `make test-cluster` sets the variable.
///
/// # Errors
/// The variable is unset.
pub fn source(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable}: not set: run make test-cluster"))
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
    pub environment: &'a [(String, String)],
    /// The folder it runs in; its log goes there too.
    pub folder: &'a Path,
}

/// The environment of every program.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a program in its namespace. It and its children are killed when dropped, or when the test dies.
///
/// # Errors
/// The folder cannot be written, or a tool of util-linux or iproute2 is missing.
pub fn start(name: &str, start: &Start<'_>) -> anyhow::Result<Process> {
    std::fs::create_dir_all(start.folder)?;
    let log = start.folder.join(format!("{name}.log"));
    // A process namespace of its own: its children die with it.
    let process = Process::start("unshare", log, |command| {
        command
            .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--"])
            .args(["ip", "netns", "exec", start.namespace.name()])
            .arg(start.binary)
            .args(start.arguments)
            .env_clear()
            .env("PATH", PATH)
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
