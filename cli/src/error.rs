//! Everything that ends a command with exit code 1, one sentence each.

/// What went wrong, where, and what came instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments that contradict each other or cannot be used.
    #[error("{0}")]
    Usage(String),
    /// Prometheus could not answer.
    #[error("prometheus: {url}: {problem}")]
    Prometheus {
        /// The base URL asked.
        url: String,
        /// What came instead of an answer.
        problem: String,
    },
    /// The Kubernetes API could not answer.
    #[error("kubernetes: {0}")]
    Kubernetes(String),
    /// A file could not be read, understood or written.
    #[error("{path}: {problem}")]
    File {
        /// The file's path, `-` for standard input.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An unknown namespace or workload.
    #[error("{0}")]
    Unknown(String),
    /// A plan failed its own check; nothing was written.
    #[error("plan: internal check failed: {0}")]
    Plan(String),
    /// The output could not be written.
    #[error("output: {0}")]
    Output(String),
}

impl Error {
    /// A file's problem.
    pub fn file(path: impl std::fmt::Display, problem: impl std::fmt::Display) -> Error {
        Error::File {
            path: path.to_string(),
            problem: problem.to_string(),
        }
    }

    /// A failure to render or write an answer.
    pub fn output(problem: impl std::fmt::Display) -> Error {
        Error::Output(problem.to_string())
    }
}
