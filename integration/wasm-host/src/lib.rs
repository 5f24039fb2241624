//! A host for proxy-wasm ABI 0.2.1 that simulates Envoy in tests of the real module.
//!
//! [`Proxy`] is the process, [`Vm`] one of its workers; connections, requests, statuses and the clock are scripted, so that a
//! test is free of noise and covers rare cases of a real Envoy: an undecodable property, a full table, a killed VM.
//! `wasmi` interprets the module. This crate does not depend on the filter's code.

mod facts;
mod host_state;
pub mod hostile;
mod imports;
mod metric_store;
mod proxy;
mod scrape;
mod sidecar;
mod status;
mod tags;
mod tally;
mod vm;

pub use facts::{Answer, Connection, Facts, Headers, Request};
pub use host_state::{Interfered, Interference};
pub use metric_store::{Kind, MetricStore};
pub use proxy::Proxy;
pub use scrape::{Sample, Scrape};
pub use sidecar::{Answered, Sidecar, real_module, real_module_bytes};
pub use status::Status;
pub use tags::{Exposed, TagRegexes};
pub use tally::Tally;
pub use vm::{Accepted, ClosedBy, Exchange, Plugin, Vm, header_values};
