//! What every answer carries, and the version of its data format.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::decide::readiness::{Counted, Question};
use crate::model::evidence::Evidence;

/// The `apiVersion` of every document.
pub const API_VERSION: &str = "plainsight.dev/v1alpha1";

/// What an answer rests on.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// Where the evidence came from.
    pub source: String,
    /// Prometheus's time of the queries.
    pub queried_at: Timestamp,
    /// The cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The window that had to be free of callers.
    pub window: String,
    /// Whether probes and scrapes counted.
    pub counted: Counted,
    /// Pods reporting, of the workloads concerned.
    pub pods_reporting: u32,
    /// Pods with a sidecar, of the workloads concerned.
    pub pods: u32,
    /// Reasons why the evidence proves nothing.
    pub problems: Vec<String>,
    /// Worth knowing, and no obstacle.
    pub notes: Vec<String>,
}

impl Basis {
    /// The basis of an answer about the namespaces that `concerns` accepts.
    pub fn new(evidence: &Evidence, question: &Question, concerns: impl Fn(&str) -> bool) -> Basis {
        let coverage = evidence
            .coverage
            .iter()
            .filter(|row| concerns(&row.namespace));
        let sum = |count: fn(&crate::model::evidence::Coverage) -> Option<u32>| {
            coverage.clone().filter_map(count).sum()
        };
        Basis {
            source: evidence.source.clone(),
            queried_at: evidence.queried_at,
            cluster: evidence.cluster.clone(),
            window: question.window.to_string(),
            counted: question.counted,
            pods_reporting: sum(|row| row.pods_reporting),
            pods: sum(|row| row.pods),
            problems: question.problems.clone(),
            notes: evidence.notes.clone(),
        }
    }

    /// The line under every text answer.
    pub fn line(&self) -> String {
        let counted = match self.counted {
            Counted::All => "probes and scrapes counted",
            Counted::App => "probes and scrapes not counted",
        };
        let cluster = self
            .cluster
            .as_ref()
            .map(|name| format!(", cluster {name}"))
            .unwrap_or_default();
        format!(
            "# {} from {}{cluster}; window {}; {counted}; {} of {} pods report",
            self.queried_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            self.source,
            self.window,
            self.pods_reporting,
            self.pods
        )
    }
}
