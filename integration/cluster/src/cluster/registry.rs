//! Debian's docker-registry with the image that `tools/image/build` makes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use plainsight_harness::process::Process;
use serde_json::{Value, json};

use super::ROUTER;
use crate::chart::root;
use crate::network::Namespace;
use crate::program::{Start, run, start};

const PORT: u16 = 5000;

/// A running registry.
pub(super) struct Registry {
    digest: String,
    _program: Process,
}

impl Registry {
    /// Starts it, builds the image of the module under test and pushes it.
    pub(super) async fn start(namespace: &Namespace, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("registry");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(
            folder.join("config.yml"),
            format!(
                "{{version: '0.1', storage: {{filesystem: {{rootdirectory: {}}}}}, http: {{addr: '{ROUTER}:{PORT}'}}}}",
                folder.join("storage").display()
            ),
        )?;
        let mut program = start(
            "docker-registry",
            &Start {
                namespace,
                binary: Path::new("/usr/bin/docker-registry"),
                arguments: &["serve".to_owned(), "config.yml".to_owned()],
                environment: &[],
                folder: &folder,
            },
        )?;
        let layout = folder.join("image");
        let output = Command::new(root().join("tools/image/build"))
            .arg(plainsight_harness::module_path()?)
            .arg(&layout)
            .output()
            .context("tools/image/build: cannot be run")?;
        ensure!(
            output.status.success(),
            "tools/image/build: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let digest = String::from_utf8(output.stdout)?.trim().to_owned();
        let (from, to) = (
            format!("oci:{}:plainsight", layout.display()),
            format!("docker://{ROUTER}:{PORT}/plainsight:test"),
        );
        // The registry answers a moment after its start: the push is repeated until it does.
        program
            .ready("registry: push", async || {
                run(
                    namespace,
                    &folder,
                    &["skopeo", "copy", "--dest-tls-verify=false", &from, &to],
                )
            })
            .await?;
        Ok(Self {
            digest,
            _program: program,
        })
    }

    /// The value `image` of the chart.
    pub(super) fn image(&self) -> Value {
        json!({"repository": format!("{ROUTER}:{PORT}/plainsight"), "digest": self.digest})
    }
}
