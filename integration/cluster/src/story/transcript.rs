//! What the story says and shows: Markdown, printed while it happens and kept for docs/story.md.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::cluster::Cluster;

/// The page, as far as the story went.
#[derive(Default)]
pub struct Transcript {
    page: String,
}

/// How a command ended.
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Outcome {
    /// It ended with this code.
    ///
    /// # Errors
    /// It did not; the message holds its output.
    pub fn expect(self, code: i32) -> anyhow::Result<Self> {
        ensure!(
            self.code == code,
            "exit code {}, expected {code}:\n{}{}",
            self.code,
            self.output,
            self.errors
        );
        Ok(self)
    }

    /// It says this.
    ///
    /// # Errors
    /// It does not; the message holds its output.
    pub fn says(self, wanted: &[&str]) -> anyhow::Result<Self> {
        for wanted in wanted {
            ensure!(
                self.output.contains(wanted) || self.errors.contains(wanted),
                "does not say {wanted}:\n{}{}",
                self.output,
                self.errors
            );
        }
        Ok(self)
    }
}

impl Transcript {
    /// What was shown so far.
    pub fn page(&self) -> &str {
        &self.page
    }

    fn write(&mut self, text: &str) {
        print!("{text}");
        self.page.push_str(text);
    }

    /// A new part.
    pub fn heading(&mut self, text: &str) {
        self.write(&format!("\n## {text}\n"));
    }

    /// A paragraph.
    pub fn say(&mut self, text: &str) {
        self.write(&format!("\n{text}\n"));
    }

    /// A file that a command reads.
    pub fn file(&mut self, name: &str, text: &str) {
        self.write(&format!(
            "\n`{name}`:\n\n```yaml\n{}\n```\n",
            text.trim_end()
        ));
    }

    /// A command, what it printed, and its exit code unless 0.
    pub fn command(&mut self, line: &str, outcome: &Outcome) {
        let mut text = format!("\n```\n$ {line}\n");
        for part in [&outcome.output, &outcome.errors] {
            if !part.trim().is_empty() {
                text += part.trim_end();
                text.push('\n');
            }
        }
        if outcome.code != 0 {
            text += &format!("(exit code {})\n", outcome.code);
        }
        self.write(&(text + "```\n"));
    }
}

/// Runs a program where the API and Prometheus are, in `folder`, and waits for its end.
///
/// # Errors
/// It cannot be run, or a signal ended it.
pub async fn run(
    cluster: &Cluster,
    folder: &Path,
    program: &Path,
    arguments: &[&str],
) -> anyhow::Result<Outcome> {
    let mut command = cluster.command(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env(
            "PLAINSIGHT_PROMETHEUS",
            format!("http://{}", cluster.prometheus()?),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = command.output().await?;
    Ok(Outcome {
        code: output.status.code().context("ended by a signal")?,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
