//! plainsight: a Wasm filter for Envoy sidecars that says which inbound callers would break if a
//! namespace moved from `PeerAuthentication` mode PERMISSIVE to STRICT.
//!
//! A connection's way through the modules goes in one direction:
//!
//! ```text
//! abi (Envoy's bytes) -> property (typed facts) -> peer (verdict) -> caller (who)
//!     -> series (which metrics) -> one increment, one header
//! ```
//!
//! [`host`] is the only door to Envoy; [`abi`] is the one file with `unsafe` code behind it. Everything
//! between is plain Rust that native tests drive through a scripted host.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod abi;
pub mod address;
pub mod caller;
pub mod census;
pub mod client_hello;
pub mod connections;
pub mod date;
pub mod hashing;
pub mod host;
pub mod known;
pub mod label_value;
pub mod metrics;
pub mod peer;
pub mod peer_header;
pub mod property;
pub mod roots;
pub mod series;
pub mod settings;
pub mod traffic;
pub mod trouble;
pub mod vm;

#[cfg(test)]
mod fake_host;
