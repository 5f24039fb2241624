//! `make demo-cluster`: the whole migration in a real cluster. KEEP=1 keeps the cluster; PLAINSIGHT_STORY=FILE writes the page.

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
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tell(keep) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted: everything has ended"),
        _ = terminate.recv() => bail!("terminated: everything has ended"),
    }
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
    if let (Some(file), Ok(())) = (std::env::var_os("PLAINSIGHT_STORY"), &outcome) {
        std::fs::write(&file, format!("{HEAD}{}", transcript.page()))
            .with_context(|| file.display().to_string())?;
    }
    if keep {
        if let Err(error) = &outcome {
            eprintln!("demo-cluster: error: {error:#}");
        }
        println!("{}", to_try(&cluster)?);
        std::future::pending::<()>().await;
    }
    outcome
}
