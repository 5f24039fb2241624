//! Where facts come from. Nothing here decides, and nothing here writes to what it reads.

pub mod exposition;
pub mod files;
pub mod kubernetes;
pub mod objects;
pub mod prometheus;
pub mod queries;
pub mod snapshot;
