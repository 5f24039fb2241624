//! The filter's metrics and labels as data: the one table that code, documentation, `extraStatTags` and
//! the checks of rules and dashboards are rendered from. Knows no host.

use crate::host::MetricKind;
use crate::label_value::push_safe;

/// The labels, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// How the connection was made.
    Peer,
    /// What STRICT would do with it.
    Strict,
    /// The caller's address.
    SourceIp,
    /// The operator's name for it.
    SourceName,
    /// The caller's SPIFFE id.
    SourcePrincipal,
    /// The workload that was called.
    DestinationWorkload,
    /// Its namespace.
    DestinationWorkloadNamespace,
    /// Its port.
    DestinationPort,
    /// What the request is for.
    Traffic,
    /// A claimed workload.
    ClaimedWorkload,
    /// A claimed namespace.
    ClaimedWorkloadNamespace,
    /// The filter's version.
    Version,
}

/// Every label with its name and meaning.
pub const LABELS: [(Label, &str, &str); 12] = [
    (
        Label::Peer,
        "peer",
        "how the connection was made: `mutual_tls`, `tls_no_client_cert`, `tls_passthrough` or `plaintext`",
    ),
    (
        Label::Strict,
        "strict",
        "what STRICT would do: `allow`, `reject`, or `exempt` (a port in `exemptPorts`)",
    ),
    (
        Label::SourceIp,
        "source_ip",
        "address of the TCP peer, or the block that `ipv4Prefix`/`ipv6Prefix` make of it; `forwarded`: only a forwarded address was to be seen; `overflow`: beyond `maxCallers`; `unknown`: no IP address",
    ),
    (
        Label::SourceName,
        "source_name",
        "the name that `callers` gives to the address",
    ),
    (
        Label::SourcePrincipal,
        "source_principal",
        "SPIFFE id of a mutual TLS peer, with `principals: true`; `overflow`: beyond `maxCallers`",
    ),
    (
        Label::DestinationWorkload,
        "destination_workload",
        "the workload that was called (`WORKLOAD_NAME` of the proxy's node metadata)",
    ),
    (
        Label::DestinationWorkloadNamespace,
        "destination_workload_namespace",
        "its namespace (`NAMESPACE` of the proxy's node metadata)",
    ),
    (
        Label::DestinationPort,
        "destination_port",
        "the target port; `overflow`: beyond 64 ports",
    ),
    (
        Label::Traffic,
        "traffic",
        "`app`, `probe` or `scrape`, a hint from the User-Agent; not on mutual TLS requests",
    ),
    (
        Label::ClaimedWorkload,
        "claimed_workload",
        "what Istio's metadata says of a caller without mutual TLS: the caller may have forged it",
    ),
    (
        Label::ClaimedWorkloadNamespace,
        "claimed_workload_namespace",
        "the namespace of the same claim",
    ),
    (Label::Version, "version", "version of the filter"),
];

impl Label {
    /// The label's name.
    pub fn name(self) -> &'static str {
        LABELS
            .iter()
            .find(|(label, _, _)| *label == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// The metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Classified connections.
    Connections,
    /// Requests.
    Requests,
    /// Open connections.
    ActiveConnections,
    /// When a caller was there last.
    LastSeen,
    /// Handshakes that failed.
    HandshakeFailures,
    /// What callers are claimed to be.
    CallerClaims,
    /// Counted as overflow.
    Overflow,
    /// Host values that could not be had.
    AttributeErrors,
    /// Problems of the configuration.
    ConfigErrors,
    /// The version.
    BuildInfo,
}

/// A metric's row in the table.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Which.
    pub metric: Metric,
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Its labels, in order; a label whose value is empty is left out.
    pub labels: &'static [Label],
    /// What it counts, in a sentence.
    pub help: &'static str,
}

/// Labels of a caller's series.
pub const CALLER_LABELS: [Label; 8] = [
    Label::Peer,
    Label::Strict,
    Label::SourceIp,
    Label::SourceName,
    Label::SourcePrincipal,
    Label::DestinationWorkload,
    Label::DestinationWorkloadNamespace,
    Label::DestinationPort,
];

const REQUEST_LABELS: [Label; 9] = [
    Label::Peer,
    Label::Strict,
    Label::SourceIp,
    Label::SourceName,
    Label::SourcePrincipal,
    Label::DestinationWorkload,
    Label::DestinationWorkloadNamespace,
    Label::DestinationPort,
    Label::Traffic,
];

/// Labels of failed handshakes: nothing is known of the peer but its address.
pub const HANDSHAKE_LABELS: [Label; 5] = [
    Label::SourceIp,
    Label::SourceName,
    Label::DestinationWorkload,
    Label::DestinationWorkloadNamespace,
    Label::DestinationPort,
];

/// Labels of claims.
pub const CLAIM_LABELS: [Label; 3] = [
    Label::SourceIp,
    Label::ClaimedWorkload,
    Label::ClaimedWorkloadNamespace,
];

/// Every metric.
pub const METRICS: [Definition; 10] = [
    Definition {
        metric: Metric::Connections,
        name: "plainsight_connections_total",
        kind: MetricKind::Counter,
        labels: &CALLER_LABELS,
        help: "classified connections",
    },
    Definition {
        metric: Metric::Requests,
        name: "plainsight_requests_total",
        kind: MetricKind::Counter,
        labels: &REQUEST_LABELS,
        help: "requests, counted at their start",
    },
    Definition {
        metric: Metric::ActiveConnections,
        name: "plainsight_active_connections",
        kind: MetricKind::Gauge,
        labels: &CALLER_LABELS,
        help: "connections open now, those without mutual TLS only",
    },
    Definition {
        metric: Metric::LastSeen,
        name: "plainsight_last_seen_timestamp_seconds",
        kind: MetricKind::Gauge,
        labels: &CALLER_LABELS,
        help: "when a caller without mutual TLS last had a connection open or sent a request, within 5 seconds",
    },
    Definition {
        metric: Metric::HandshakeFailures,
        name: "plainsight_handshake_failures_total",
        kind: MetricKind::Counter,
        labels: &HANDSHAKE_LABELS,
        help: "connections to a TLS port that ended before a byte of data and without a valid client certificate",
    },
    Definition {
        metric: Metric::CallerClaims,
        name: "plainsight_caller_claims",
        kind: MetricKind::Gauge,
        labels: &CLAIM_LABELS,
        help: "1 for each workload that a caller without mutual TLS is claimed to be",
    },
    Definition {
        metric: Metric::Overflow,
        name: "plainsight_overflow_total",
        kind: MetricKind::Counter,
        labels: &[],
        help: "connections, requests and failed handshakes counted under an `overflow` label",
    },
    Definition {
        metric: Metric::AttributeErrors,
        name: "plainsight_attribute_errors_total",
        kind: MetricKind::Counter,
        labels: &[],
        help: "values that Envoy refused, or that could not be decoded",
    },
    Definition {
        metric: Metric::ConfigErrors,
        name: "plainsight_config_errors",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "problems in the configuration in force; 0: none",
    },
    Definition {
        metric: Metric::BuildInfo,
        name: "plainsight_build_info",
        kind: MetricKind::Gauge,
        labels: &[Label::Version],
        help: "1, with the version of the filter",
    },
];

impl Metric {
    /// The metric's row.
    pub fn definition(self) -> &'static Definition {
        const NONE: &Definition = &METRICS[0];
        METRICS
            .iter()
            .find(|definition| definition.metric == self)
            .unwrap_or(NONE)
    }
}

/// How labels stand in a metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LabelForm {
    /// `tag.k=v,k=v;.name`: the stock regex `(tag\.(.+?);\.)` makes one label `tag` of it, on any sidecar.
    #[default]
    Stock,
    /// `k=.=v;.;k=.=v;.;name`: one label each, where `extraStatTags` lists them. Istio writes the
    /// regex `(NAME=\.=(.*?);\.;)` for each
    /// (<https://github.com/istio/istio/blob/master/tools/packaging/common/envoy_bootstrap.json>).
    Native,
}

impl LabelForm {
    /// Appends a label; one with an empty value is left out.
    pub fn push(self, into: &mut String, label: Label, value: &str) {
        if value.is_empty() {
            return;
        }
        match self {
            LabelForm::Stock => {
                into.push_str(if into.is_empty() { "tag." } else { "," });
                into.push_str(label.name());
                into.push('=');
                push_safe(into, value);
            }
            LabelForm::Native => {
                into.push_str(label.name());
                into.push_str("=.=");
                push_safe(into, value);
                into.push_str(";.;");
            }
        }
    }

    /// Ends the labels and appends the metric's name.
    pub fn finish(self, into: &mut String, metric: Metric) {
        if self == LabelForm::Stock && !into.is_empty() {
            into.push_str(";.");
        }
        into.push_str(metric.definition().name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(form: LabelForm, labels: &[(Label, &str)], metric: Metric) -> String {
        let mut name = String::new();
        for &(label, value) in labels {
            form.push(&mut name, label, value);
        }
        form.finish(&mut name, metric);
        name
    }

    #[test]
    fn the_stock_form_is_one_tag() {
        let labels = [
            (Label::Peer, "plaintext"),
            (Label::SourceIp, "fd00::10:2"),
            (Label::SourceName, ""),
            (Label::DestinationPort, "8080"),
        ];
        assert_eq!(
            encoded(LabelForm::Stock, &labels, Metric::Requests),
            "tag.peer=plaintext,source_ip=fd00::10:2,destination_port=8080;.plainsight_requests_total"
        );
        assert_eq!(
            encoded(LabelForm::Native, &labels, Metric::Requests),
            "peer=.=plaintext;.;source_ip=.=fd00::10:2;.;destination_port=.=8080;.;plainsight_requests_total"
        );
    }

    #[test]
    fn a_metric_without_labels_is_its_bare_name_in_both_forms() {
        for form in [LabelForm::Stock, LabelForm::Native] {
            assert_eq!(
                encoded(form, &[], Metric::Overflow),
                "plainsight_overflow_total"
            );
        }
    }

    #[test]
    fn every_metric_and_label_has_its_row() {
        for definition in METRICS {
            assert_eq!(definition.metric.definition().name, definition.name);
            assert!(definition.name.starts_with("plainsight_"));
        }
        for (label, name, _) in LABELS {
            assert_eq!(label.name(), name);
        }
    }
}
