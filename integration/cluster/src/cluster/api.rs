//! The API: `kubectl` and Helm in the outer namespace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::network::Namespace;
use crate::program::{PATH, program};

/// Access to the API as its administrator.
#[derive(Clone)]
pub struct Api {
    pub(super) network: Arc<Namespace>,
    pub(super) folder: PathBuf,
}

impl Api {
    /// A program that runs in the outer namespace, where the API, Prometheus and all pods can be reached, with
    /// `KUBECONFIG` and `PATH` set.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.network.name()])
            .arg(program)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.folder)
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// `kubectl`, with `stdin` as its input; returns its output.
    ///
    /// # Errors
    /// It fails; the message is kubectl's.
    pub async fn kubectl(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
        let output = self.run_program("kubectl", arguments, stdin).await;
        output.with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// `helm`; returns its output.
    ///
    /// # Errors
    /// It fails; the message is Helm's.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run_program("helm", arguments, "").await;
        output.with_context(|| format!("helm {}", arguments.join(" ")))
    }

    async fn run_program(
        &self,
        name: &str,
        arguments: &[&str],
        stdin: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.command(program(name)?);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().context("no stdin")?;
        let write = async move {
            // A program that does not read its input to the end says why itself.
            let _ = input.write_all(stdin.as_bytes()).await;
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output?;
        ensure!(
            output.status.success(),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `kubectl apply --server-side`.
    ///
    /// # Errors
    /// The API server or a webhook refuses it; the message is theirs.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl(&arguments, yaml).await?;
        Ok(())
    }

    /// `kubectl delete` of a manifest; what is not there is no error.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete(&self, yaml: &str) -> anyhow::Result<()> {
        self.kubectl(&["delete", "--ignore-not-found", "-f", "-"], yaml)
            .await?;
        Ok(())
    }

    /// `kubectl get ... -o json`.
    ///
    /// # Errors
    /// There is no such object.
    pub async fn get(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        Ok(serde_json::from_str(&self.kubectl(&arguments, "").await?)?)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A token of the pod's ServiceAccount.
    pub(crate) async fn token(
        &self,
        pod: &Value,
        audience: Option<&str>,
    ) -> anyhow::Result<String> {
        let text = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let account = text("/spec/serviceAccountName");
        let mut arguments = vec![
            "create",
            "token",
            account,
            "-n",
            text("/metadata/namespace"),
        ];
        arguments.extend(["--duration=12h", "--bound-object-kind=Pod"]);
        arguments.extend(["--bound-object-name", text("/metadata/name")]);
        arguments.extend(["--bound-object-uid", text("/metadata/uid")]);
        if let Some(audience) = audience {
            arguments.extend(["--audience", audience]);
        }
        self.kubectl(&arguments, "").await
    }

    /// Writes the keys of a ConfigMap or a Secret as files.
    pub(crate) async fn write_files(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        optional: bool,
        place: &Path,
    ) -> anyhow::Result<()> {
        let mut arguments = vec![kind, name, "-n", namespace];
        if optional {
            arguments.push("--ignore-not-found");
        }
        let arguments = [&["get", "-o", "json"], &arguments[..]].concat();
        let text = self.kubectl(&arguments, "").await?;
        if text.is_empty() {
            return Ok(());
        }
        let object: Value = serde_json::from_str(&text)?;
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let bytes = match kind {
                "secret" => BASE64_STANDARD.decode(value)?,
                _ => value.as_bytes().to_vec(),
            };
            std::fs::write(place.join(key), bytes)?;
        }
        Ok(())
    }
}
