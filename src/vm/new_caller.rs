//! The log line for a new caller.

use crate::metrics::Label;
use crate::peer::Peer;
use crate::roots::Root;
use crate::trouble::push_number;

/// One JSON line for a new caller, with the names that the labels have.
pub(super) fn log_line(root: &Root, peer: Peer, port: Option<u16>, ip: &str, name: &str) -> String {
    let strict = peer.under_strict(root.settings.is_exempt(port));
    let mut line = String::from("{\"plainsight\":\"new caller\"");
    let texts = [
        (Label::Peer, peer.as_str()),
        (Label::Strict, strict.as_str()),
        (Label::SourceIp, ip),
        (Label::SourceName, name),
        (Label::DestinationWorkload, &root.workload),
        (Label::DestinationWorkloadNamespace, &root.namespace),
    ];
    for (label, value) in texts {
        if !value.is_empty() {
            line.push_str(",\"");
            line.push_str(label.name());
            line.push_str("\":");
            // Quotes and escapes as JSON has them.
            line.push_str(&serde_json::to_string(value).unwrap_or_default());
        }
    }
    if let Some(port) = port {
        line.push_str(",\"destination_port\":");
        push_number(&mut line, u32::from(port));
    }
    line.push('}');
    line
}
