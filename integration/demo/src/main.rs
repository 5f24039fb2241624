//! `make demo`: the whole of plainsight in under a minute.
//!
//! Two real Envoys with the configuration of `envoy-config/envoy`, six callers, and the answer of the `plainsight` command
//! to the question: which callers would break under STRICT?

mod callers;
mod command;
mod example;
mod mesh;
mod places;
mod prometheus;
mod rules;

use std::process::ExitCode;

use anyhow::bail;

use crate::mesh::DemoMesh;
use crate::prometheus::Prometheus;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run_until_a_signal()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo. Ctrl-C and SIGTERM drop it at any point, together with all processes that it started.
async fn run_until_a_signal() -> anyhow::Result<()> {
    let keep = keep(std::env::var("KEEP").ok().as_deref())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let signal = async {
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome.map(|()| "Ctrl-C"),
            _ = terminate.recv() => Ok("SIGTERM"),
        }
    };
    tokio::select! {
        outcome = run(keep) => outcome,
        name = signal => {
            println!("\n{}: everything the demo started has ended", name?);
            Ok(())
        }
    }
}

/// Whether everything keeps running after the answer, from the variable KEEP.
fn keep(value: Option<&str>) -> anyhow::Result<bool> {
    match value {
        None | Some("" | "0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => {
            bail!("KEEP: expected 1 to keep everything running, or nothing, got: {other}")
        }
    }
}

async fn run(keep: bool) -> anyhow::Result<()> {
    println!(
        "Starting a server's and a client's sidecar: two real Envoys, {}.",
        example::FOLDER
    );
    let mut mesh = DemoMesh::start().await?;
    let outcome = show(&mut mesh, keep).await;
    mesh.explain(outcome)
}

async fn show(mesh: &mut DemoMesh, keep: bool) -> anyhow::Result<()> {
    println!(
        "Starting Prometheus with the rules of {}, {}.",
        rules::FILE,
        rules::PACE_NOTE
    );
    let prometheus = Prometheus::start(mesh.admin_address()).await?;
    println!("\nCallers of the workload shop/orders, in mode PERMISSIVE:\n");
    print!("{}", callers::cast());
    mesh.call().await?;
    println!("\nThe answer of one sidecar:\n");
    command::run(&["peek", &mesh.stats_url()])?;
    println!("\nThe answer of Prometheus, with names instead of addresses:\n");
    prometheus.wait_for_callers().await?;
    let url = prometheus.url();
    let source = ["--prometheus", &url, "--no-cluster", "--window", "1h"];
    command::run(&[&["report"][..], &source].concat())?;
    println!();
    command::run(&[&["explain", "shop/orders"][..], &source].concat())?;
    println!();

    if keep {
        print!("{}", mesh.addresses_to_try());
        print!("{}", prometheus.queries_to_try().await?);
        println!("\nRunning until Ctrl-C.");
        mesh.watch().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::keep;

    #[test]
    fn keep_is_1_or_nothing_and_anything_else_is_an_error_with_its_value() {
        assert!(keep(Some("1")).unwrap());
        for nothing in [None, Some(""), Some("0")] {
            assert!(!keep(nothing).unwrap());
        }
        assert_eq!(
            keep(Some("yes")).unwrap_err().to_string(),
            "KEEP: expected 1 to keep everything running, or nothing, got: yes"
        );
    }
}
