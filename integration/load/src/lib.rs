//! Load, cardinality attacks and faults against a real Envoy with plainsight in it, counted exactly.
//!
//! Tests run each of them on a small scale; `make stress ONLY=soak`, `make stress ONLY=attack` and `make stress ONLY=faults` are
//! the large runs. Every conversation has exact expected counts.
//!
//! Two paths come from the environment: `PLAINSIGHT_ENVOY`, the Envoy binary, and `PLAINSIGHT_WASM`, the module.

pub mod attack;
pub mod bound;
pub mod conversation;
pub mod faults;
pub mod load;
pub mod memory;
pub mod tally;
pub mod target;
pub mod wire;
