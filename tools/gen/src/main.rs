//! Writes the files that are made from other files (`make gen`), and with `--check` compares them and checks that
//! rules, alerts, dashboard and runbook use one vocabulary (`make lint-gen`).
//!
//! A generated file is a row of [`GENERATED`]: its path and the function that makes its whole text.

mod alerts;
mod dashboard_config_map;
mod expressions;
mod kiali;
mod native_labels;
mod prometheus_rule;
mod readme;
mod section;
mod vocabulary;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A file that is made from others. Paths are relative to the repository's root.
struct Generated {
    path: &'static str,
    make: fn(&Path) -> anyhow::Result<String>,
}

const GENERATED: [Generated; 5] = [
    Generated {
        path: prometheus_rule::PATH,
        make: prometheus_rule::make,
    },
    Generated {
        path: dashboard_config_map::PATH,
        make: dashboard_config_map::make,
    },
    Generated {
        path: native_labels::MESH_VALUES,
        make: native_labels::make_mesh_values,
    },
    Generated {
        path: native_labels::POD_ANNOTATION,
        make: native_labels::make_pod_annotation,
    },
    Generated {
        path: readme::PATH,
        make: readme::make,
    },
];

/// A check that writes nothing: everything it found, a line each.
type Check = fn(&Path) -> anyhow::Result<Vec<String>>;

const CHECKS: [Check; 3] = [vocabulary::problems, alerts::problems, kiali::problems];

fn main() -> anyhow::Result<()> {
    let root = root();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => write(&root),
        ["--check"] => check(&root),
        _ => bail!("gen: arguments: expected none or --check, got: {arguments:?}"),
    }
}

/// The repository's root, two folders above this crate.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn write(root: &Path) -> anyhow::Result<()> {
    for file in &GENERATED {
        let text = (file.make)(root).context(file.path)?;
        std::fs::write(root.join(file.path), text).context(file.path)?;
        println!("gen: {}", file.path);
    }
    Ok(())
}

fn check(root: &Path) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for file in &GENERATED {
        let made = (file.make)(root).context(file.path)?;
        let found = std::fs::read_to_string(root.join(file.path)).context(file.path)?;
        if made != found {
            problems.push(format!(
                "{}: differs from what `make gen` writes",
                file.path
            ));
        }
    }
    for check in CHECKS {
        problems.extend(check(root)?);
    }
    if !problems.is_empty() {
        bail!("gen: {} problems:\n{}", problems.len(), problems.join("\n"));
    }
    println!(
        "gen: {} generated files are up to date, and rules, alerts, dashboard and runbook agree",
        GENERATED.len()
    );
    Ok(())
}

/// A file's text.
///
/// # Errors
/// The file cannot be read; the message holds its path.
fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}
