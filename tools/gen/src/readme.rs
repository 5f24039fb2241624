//! The README's tables: configuration, metrics, labels; and what was measured, quoted from its own page.

use crate::section;
use anyhow::{Context, Result, anyhow};
use plainsight::host::MetricKind;
use plainsight::metrics::{CALLER_LABELS, LABELS, METRICS};
use plainsight::settings::KEYS;
use std::path::Path;

/// The page.
pub const PATH: &str = "README.md";

/// The README with its sections made anew.
///
/// # Errors
/// When a section or a page that one quotes is missing.
pub fn make(root: &Path) -> Result<String> {
    let now = std::fs::read_to_string(root.join(PATH)).context(PATH)?;
    let demo = std::fs::read_to_string(root.join("docs/demo.txt")).context("docs/demo.txt")?;
    let text = section::replace(&now, "demo", &format!("```text\n{}\n```", demo.trim_end()))?;
    let text = section::replace(&text, "proof", &table_of(root, "docs/proof.md")?)?;
    let text = section::replace(&text, "matrix", &table_of(root, "docs/matrix.md")?)?;
    let text = section::replace(&text, "configuration", &configuration())?;
    let text = section::replace(&text, "metrics", &metrics())?;
    section::replace(&text, "labels", &labels())
}

/// The table of a page that a measurement wrote.
fn table_of(root: &Path, page: &str) -> Result<String> {
    let text = std::fs::read_to_string(root.join(page)).context(page.to_owned())?;
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    if table.len() < 3 {
        return Err(anyhow!("{page}: no table"));
    }
    Ok(table.join("\n"))
}

fn configuration() -> String {
    let mut out = String::from("| key | default | meaning |\n|---|---|---|\n");
    for (key, default, meaning) in KEYS {
        out.push_str(&format!("| `{key}` | {default} | {meaning} |\n"));
    }
    out
}

fn metrics() -> String {
    let mut out = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
    for definition in METRICS {
        let kind = match definition.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let labels = match definition.labels.strip_prefix(&CALLER_LABELS) {
            Some([]) => "the caller's".to_owned(),
            Some([extra]) => format!("the caller's, `{}`", extra.name()),
            _ => definition
                .labels
                .iter()
                .map(|label| format!("`{}`", label.name()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        out.push_str(&format!(
            "| `{}` | {kind} | {labels} | {} |\n",
            definition.name, definition.help
        ));
    }
    out.push_str("\nThe caller's labels: ");
    out.push_str(
        &CALLER_LABELS
            .map(|label| format!("`{}`", label.name()))
            .join(", "),
    );
    out.push_str(".\n");
    out
}

fn labels() -> String {
    let mut out = String::from("| label | meaning |\n|---|---|\n");
    for (_, name, meaning) in LABELS {
        out.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    out
}
