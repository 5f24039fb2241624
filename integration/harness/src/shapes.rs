//! Inbound listeners as istiod generates them.
//!
//! istiod redirects every port to one listener, `virtualInbound`, and matches the chains on `destination_port`.
//! On loopback nothing is redirected, so each port has its own listener that binds to it, with the
//! same filter chain matches, like the listeners of istiod with `INTERCEPTION_MODE: NONE` (`inboundCustomListener` in
//! <https://github.com/istio/istio/blob/master/pilot/pkg/networking/core/listener_inbound.go>).
//!
//! An undeclared port has the automatic shape, without `destination_port` in its matches, and the cluster
//! `InboundPassthroughCluster`. That cluster is static here: `ORIGINAL_DST` on loopback would call itself.

mod chains;
mod cluster;
mod listener;
mod outbound;
mod plugin;
mod sidecar;
mod stats;

pub use chains::{CHAIN_ALPN, Mode, Protocol};
pub use cluster::static_cluster;
pub use outbound::ClientSidecar;
pub use plugin::{FailurePolicy, Plugin};
pub use sidecar::{Port, Sidecar};
pub use stats::{stats_config, stock_tags};
