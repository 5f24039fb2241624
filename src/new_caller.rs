//! The log line for a new caller.

use crate::labels::{PeerLabels, Port};
use serde::Serialize;

/// The log target of these lines, which are JSON and get no prefix.
pub const LOG_TARGET: &str = "new caller";

/// One JSON line. Its fields are named like the labels.
#[derive(Serialize)]
struct Line<'l> {
    plainsight: &'static str,
    peer: &'static str,
    strict: &'static str,
    source_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_name: Option<&'l str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    destination_workload: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    destination_workload_namespace: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
}

/// Logs a new caller at level warn, the lowest that a stock sidecar prints for Wasm.
pub fn log(labels: &PeerLabels) {
    let line = Line {
        plainsight: "new caller",
        peer: labels.peer.as_str(),
        strict: labels.strict.as_str(),
        source_ip: labels
            .source_ip
            .map_or_else(String::new, |ip| ip.to_string()),
        source_name: labels.source_name.as_deref(),
        destination_workload: &labels.destination_workload,
        destination_workload_namespace: &labels.destination_workload_namespace,
        destination_port: match labels.destination_port {
            Some(Port::Number(number)) => Some(number),
            Some(Port::Overflow) | None => None,
        },
    };
    if let Ok(json) = serde_json::to_string(&line) {
        log::warn!(target: LOG_TARGET, "{json}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::{capture_log, logged};
    use crate::labels::tests::peer_labels;

    #[test]
    fn a_line_is_json_with_the_labels_that_have_a_value() {
        capture_log();
        log(&PeerLabels {
            source_name: Some("legacy \"vms\"".into()),
            ..peer_labels()
        });
        assert_eq!(
            logged(),
            [
                r#"{"plainsight":"new caller","peer":"plaintext","strict":"reject","source_ip":"unknown","source_name":"legacy \"vms\"","destination_workload":"web","destination_workload_namespace":"shop","destination_port":8080}"#
            ]
        );
    }
}
