//! A real Prometheus with the project's scrape configuration, rules and alerts scrapes real Envoys and an endpoint that
//! plays kube-state-metrics. Callers of every kind call; then each rule, each alert and each query of the dashboard, with
//! each value of each variable, must return the rows that the traffic implies.
//!
//! Run it with `make test-live`.

mod answers;
mod cast;
mod cluster;
mod dashboard;
mod expected;
mod expected_rules;
mod pace;
mod page;
mod prometheus;
mod questions;
mod sidecars;

use std::time::Instant;

use anyhow::Context;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    let sidecars = sidecars::Sidecars::start().await.context("sidecars")?;
    let cluster = cluster::Cluster::start().await.context("cluster")?;
    let prometheus = prometheus::Prometheus::start(&sidecars, &cluster)
        .await
        .context("prometheus")?;
    println!(
        "live-check: {} Envoys, {} played pods, Prometheus at {}",
        sidecars.pods().len(),
        cluster::PODS.len(),
        prometheus.address()
    );
    let traffic = cast::play(&sidecars, &prometheus)
        .await
        .with_context(|| sidecars.log_tails())?;
    let world = expected::World::new(&sidecars);
    let checked = answers::check(&prometheus, &world).await;
    let outcome = traffic.stop().await;
    let checked = checked?;
    outcome?;
    println!("live-check: {checked} in {} s", started.elapsed().as_secs());
    Ok(())
}
