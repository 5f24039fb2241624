//! Writes the documentation's tables from the filter's own definitions (`make gen`). With `--check` it only compares
//! them (`make lint ONLY=gen`).

use anyhow::{Context, bail};
use plainsight::host::MetricKind;
use plainsight::labels::{Label, LabelSet, PeerLabels};
use plainsight::metrics::METRICS;
use plainsight::settings::KEYS;
use std::path::Path;

/// A table: the file and the name of its section, `<!-- gen:NAME -->` to `<!-- end -->`.
struct Table {
    file: &'static str,
    section: &'static str,
    render: fn() -> String,
}

const TABLES: [Table; 3] = [
    Table {
        file: "README.md",
        section: "configuration",
        render: configuration,
    },
    Table {
        file: "docs/metrics.md",
        section: "metrics",
        render: metrics,
    },
    Table {
        file: "docs/metrics.md",
        section: "labels",
        render: labels,
    },
];

fn main() -> anyhow::Result<()> {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        other => bail!("gen: expected no argument or --check, got: {other:?}"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for table in TABLES {
        let path = root.join(table.file);
        let text = std::fs::read_to_string(&path).context(table.file)?;
        let new = replace_section(&text, table.section, &(table.render)())
            .with_context(|| format!("{}: section {}", table.file, table.section))?;
        if new == text {
            continue;
        }
        if check {
            bail!("gen: {}: outdated: run `make gen`", table.file);
        }
        std::fs::write(&path, new).context(table.file)?;
        println!("gen: {}: {}", table.file, table.section);
    }
    Ok(())
}

/// The text with a section's body replaced. `None` if a marker is missing.
fn replace_section(text: &str, name: &str, body: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- gen:{name} -->\n"))?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!(
        "{before}<!-- gen:{name} -->\n{body}<!-- end -->{after}"
    ))
}

fn configuration() -> String {
    let mut out = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in KEYS {
        out += &format!("| `{}` | `{}` | {} |\n", key.name, key.default, key.meaning);
    }
    out
}

fn metrics() -> String {
    let mut out = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let names: Vec<_> = metric.labels.iter().map(code).collect();
        out += &format!(
            "| `{}` | {kind} | {} | {} |\n",
            metric.name,
            names.join(", "),
            metric.help
        );
    }
    out
}

/// The labels of all metrics, each once.
fn labels() -> String {
    let mut out = String::from("| label | meaning |\n|---|---|\n");
    let mut seen: Vec<&str> = Vec::new();
    let all = METRICS.iter().flat_map(|metric| metric.labels);
    for label in PeerLabels::LABELS.iter().chain(all) {
        if !seen.contains(&label.name) {
            seen.push(label.name);
            out += &format!("| {} | {} |\n", code(label), label.meaning);
        }
    }
    out
}

fn code(label: &Label) -> String {
    format!("`{}`", label.name)
}
