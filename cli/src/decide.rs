//! Decisions: pure functions of facts.

pub mod explain;
pub mod gate;
pub mod names;
pub mod plan;
pub mod readiness;
pub mod verify;
