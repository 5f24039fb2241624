//! `make demo-cluster`: the whole migration in a real cluster. KEEP=1 keeps the cluster as it is before the removal; without it,
//! PLAINSIGHT_STORY=FILE writes the page.

use std::process::ExitCode;

use anyhow::{Context, bail};
use plainsight_cluster::cluster::{Cluster, Parts};
use plainsight_cluster::story::{Transcript, story, to_try};

const HEAD: &str = "<!-- Written by make docs ONLY=story. -->
# From PERMISSIVE to STRICT in a real cluster
";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(until_a_signal()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-cluster: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C or SIGTERM drop everything at any point: the cluster ends in its usual way.
async fn until_a_signal() -> anyhow::Result<()> {
    let keep = match std::env::var("KEEP").ok().as_deref() {
        None | Some("" | "0") => false,
        Some("1") => true,
        Some(other) => {
            bail!("KEEP: expected 1 to keep everything running, or nothing, got: {other}")
        }
    };
    tokio::select! {
        // First: it waits for a signal too where that is its usual end.
        biased;
        outcome = tell(keep) => outcome,
        outcome = a_signal() => outcome.and_then(|()| bail!("interrupted: everything has ended")),
    }
}

/// Ctrl-C or SIGTERM.
async fn a_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn tell(keep: bool) -> anyhow::Result<()> {
    eprintln!("demo-cluster: starting the cluster, about a minute");
    let cluster = Cluster::start(Parts {
        registry: true,
        monitoring: true,
    })
    .await?;
    let mut transcript = Transcript::default();
    let outcome = story(&cluster, &mut transcript).await;
    if keep {
        println!("{}", to_try(&cluster)?);
        if let Err(error) = &outcome {
            eprintln!("demo-cluster: error: {error:#}");
        }
        a_signal().await?;
        return outcome.map(drop);
    }
    outcome?.remove().await?;
    if let Some(file) = std::env::var_os("PLAINSIGHT_STORY") {
        std::fs::write(&file, format!("{HEAD}{}", transcript.page()))
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}
