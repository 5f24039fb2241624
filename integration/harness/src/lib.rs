//! Real Envoys with the configuration that istiod generates for a sidecar, and every kind of caller.
//!
//! Tests, the demo, the bench and the load test build on this crate. The shortest use:
//!
//! ```no_run
//! use plainsight_harness::{app::App, callers::Caller, envoy::Envoy, shapes::{Mode, Port, Protocol, Sidecar}};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let app = App::start().await?;
//! let port = Port::declared(Protocol::Http, app.address())?;
//! let sidecar = Sidecar::new(Mode::Permissive, vec![port.clone()])?.with_plainsight(serde_json::json!({}))?;
//! let envoy = Envoy::start(&sidecar).await?;
//! let reply = Caller::http1("127.0.0.2").get(port.address(), "/").await?;
//! assert_eq!(reply.status, 200);
//! let scrape = envoy.scrape().await?;
//! assert_eq!(scrape.sum("plainsight_requests_total", &[("source_ip", "127.0.0.2")]), 1.0);
//! # Ok(())
//! # }
//! ```
//!
//! Two paths come from the environment: `PLAINSIGHT_ENVOY`, the Envoy binary, and `PLAINSIGHT_WASM`, the module.

pub mod app;
pub mod callers;
pub mod envoy;
pub mod eventually;
pub mod exposition;
pub mod kube_state_metrics;
pub mod page;
pub mod pki;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod proof;
pub mod shapes;

use std::path::PathBuf;

use anyhow::{Context, bail};

/// The module under test, from `PLAINSIGHT_WASM`.
///
/// # Errors
/// The variable is unset or names no file; the message says which make target sets it.
pub fn module_path() -> anyhow::Result<PathBuf> {
    path_from_environment("PLAINSIGHT_WASM", "make build, then make test ONLY=claims")
}

fn path_from_environment(variable: &str, remedy: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable}: not set: run {remedy}"))?;
    if !path.is_file() {
        bail!("{variable}: no such file: {}: run {remedy}", path.display());
    }
    // Tests run in the folder of their crate, people in the root: Envoy needs an absolute path.
    Ok(path.canonicalize()?)
}
