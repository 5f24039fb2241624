//! What plainsight costs, measured on a real Envoy beside other filters and beside no filter at all.
//!
//! One Envoy with one worker has a listener for every filter; all loads go to it in turns, so that other
//! work of the machine affects every filter equally. The cost is the CPU time of Envoy's threads, not the time on a clock.

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
