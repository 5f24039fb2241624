//! Load, cardinality attacks and faults against a real Envoy with plainsight in it, counted exactly.
//!
//! Tests run each of them small, `make stress ONLY=soak`, `make stress ONLY=attack` and `make stress ONLY=faults` run them large. Nothing here depends
//! on chance: of every conversation it is known beforehand what has to be counted.
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
