//! The cost of plainsight, measured on a real Envoy against other filters and against no filter.
//!
//! One Envoy with one worker has a listener for every filter; the loads alternate between them, so that other work of
//! the machine affects every filter equally. The cost is the CPU time of Envoy's threads, not wall-clock time.

pub mod backend;
pub mod bootstrap;
pub mod estimate;
pub mod goals;
pub mod load;
pub mod machine;
pub mod memory;
pub mod report;
pub mod rig;
pub mod schedstat;
pub mod table;
pub mod variant;
