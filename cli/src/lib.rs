//! The `plainsight` command: which namespaces can move to STRICT mutual TLS, and what is in the way.
//!
//! Facts come in through [`source`] (Prometheus, the Kubernetes API, files, a snapshot), become the typed
//! values of [`model`], are judged by the pure functions of [`decide`], and leave through [`output`].
//! [`commands`] connects them; [`run`] is the whole program but for the process itself.

pub mod args;
pub mod commands;
pub mod decide;
pub mod error;
pub mod exit;
pub mod model;
pub mod output;
pub mod source;

pub use commands::run;
pub use error::Error;
pub use exit::Exit;
