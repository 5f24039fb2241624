//! plainsight: a Wasm filter for Envoy sidecars that reports which inbound callers would break if a namespace moved
//! from `PeerAuthentication` mode PERMISSIVE to STRICT.
//!
//! Data flows through the modules in one direction:
//!
//! ```text
//! abi (Envoy's bytes) -> access (typed facts) -> tls_status, client_hello -> security (verdict)
//!     -> caller (who) -> labels -> series (which metrics) -> one increment, one header
//! ```
//!
//! [`vm`] holds one object per context: [`connection`], [`request`], [`plugin`]. [`worker`] is their shared state.
//! All calls to Envoy go through [`host`], and [`abi`] is the only file with `unsafe` code. The rest is plain Rust,
//! driven by a scripted host in unit tests.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod abi;
pub mod access;
pub mod address;
pub mod attribute;
pub mod attribute_errors;
pub mod caller;
pub mod cardinality;
pub mod client_hello;
pub mod connection;
pub mod connection_link;
pub mod host;
pub mod label_value;
pub mod labels;
pub mod logger;
pub mod metrics;
pub mod new_caller;
pub mod peer_header;
pub mod plugin;
pub mod plugins;
pub mod request;
pub mod security;
pub mod series;
pub mod settings;
pub mod tls_status;
pub mod traffic;
pub mod vm;
pub mod worker;

#[cfg(test)]
mod fake_host;
