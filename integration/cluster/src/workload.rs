//! The workload of the tests of verdicts: its ports, and what the API gets of it.

/// A port of the workload, and how its Service declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Declared as HTTP.
    Http,
    /// Declared as TCP.
    Tcp,
    /// Declared without a protocol: the sidecar detects it.
    Auto,
    /// In no Service.
    Undeclared,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Auto, Self::Undeclared];

    /// The target port. [`Port::Tcp`]'s is the one that [`crate::strict::workload_except_port`] leaves open.
    pub const fn number(self) -> u16 {
        match self {
            Self::Http => 8080,
            Self::Tcp => 9000,
            Self::Auto => 7000,
            Self::Undeclared => 6000,
        }
    }
}

/// The namespace, with injection, and in it the Deployment `checkout` with its Service.
pub fn manifest(namespace: &str) -> String {
    include_str!("workload.yaml").replace("NAMESPACE", namespace)
}
