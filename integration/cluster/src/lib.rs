//! A real cluster on one machine, and the tests that need it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use plainsight_cluster::cluster::{Cluster, Parts};
//! let cluster = Cluster::start(Parts { registry: true, monitoring: true }).await?;
//! cluster.kubectl(&["create", "namespace", "shop"], "").await?;
//! cluster.apply("...a Deployment...").await?;
//! let pods = cluster.rollout("shop", "deployment/orders").await?; // namespaces, sidecars, applications run
//! # Ok(())
//! # }
//! ```
//!
//! - `kubectl`, `helm`, `apply`, `delete`, `get`: the real programs against the real API. `command` runs any program
//!   where it can reach the API, Prometheus and pods, such as the built `plainsight`. `kubeconfig`, `kubeconfig_of`.
//! - `rollout`, `run_pods`: make a network namespace of each running pod; call them after every change.
//! - `Pod::call`, `Pod::run`: callers inside a pod, through its sidecar if it has one. `Cluster::outside`: callers with
//!   addresses outside the cluster. `Pod::scrape`, `Pod::log`.
//! - `prometheus`: the address of the operator's Prometheus; `query`, `ask_prometheus`. `chart::install`. `image`: the module's image in the cluster's registry.

pub mod chart;
pub mod cluster;
pub mod network;
pub mod pace;
pub mod pod;
pub mod program;
pub mod stage;
pub mod story;
pub mod strict;
pub mod suite;
pub mod workload;
