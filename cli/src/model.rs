//! Typed facts. Nothing here knows HTTP or Kubernetes' API.

pub mod aftermath;
pub mod cluster;
pub mod evidence;
pub mod facts;
pub mod mode;
pub mod selector;
pub mod span;
