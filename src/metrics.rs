//! The only definition of the filter's metrics: name, kind, meaning and labels. The documentation is generated
//! from [`METRICS`].

use crate::host::{Host, MetricId, MetricKind, Status};
use crate::labels::{
    AttributeLabels, BuildLabels, ConfigLabels, HandshakeLabels, Label, LabelSet, NoLabels,
    PeerLabels, RequestLabels,
};
use std::marker::PhantomData;

/// A metric with label set `L`.
#[derive(Debug)]
pub struct Metric<L> {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    labels: PhantomData<L>,
}

impl<L> Clone for Metric<L> {
    fn clone(&self) -> Metric<L> {
        *self
    }
}

impl<L> Copy for Metric<L> {}

/// A metric's row in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Its meaning.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: &'static [Label],
}

impl<L: LabelSet> Metric<L> {
    const fn new(name: &'static str, kind: MetricKind, help: &'static str) -> Metric<L> {
        Metric {
            name,
            kind,
            help,
            labels: PhantomData,
        }
    }

    const fn row(self) -> Row {
        Row {
            name: self.name,
            kind: self.kind,
            help: self.help,
            labels: L::LABELS,
        }
    }

    /// Defines the metric with these labels. Each call returns a new id, even for the same labels.
    ///
    /// The labels are packed into one: Istio's stock bootstrap has the tag regex `(tag\.(.+?);\.)`, so every
    /// stock sidecar exposes `name{tag="k=v,k=v"}`
    /// (<https://github.com/istio/istio/blob/master/pkg/bootstrap/config.go>).
    ///
    /// # Errors
    /// Any status but Ok.
    pub fn define(self, host: &mut impl Host, labels: &L) -> Result<MetricId, Status> {
        let mut encoded = String::new();
        labels.encode(&mut encoded);
        if encoded.is_empty() {
            return host.define_metric(self.kind, self.name);
        }
        let name = ["tag.", &encoded, ";.", self.name].concat();
        host.define_metric(self.kind, &name)
    }
}

/// Connections.
pub const CONNECTIONS: Metric<PeerLabels> = Metric::new(
    "plainsight_connections_total",
    MetricKind::Counter,
    "classified connections",
);
/// Requests.
pub const REQUESTS: Metric<RequestLabels<'_>> = Metric::new(
    "plainsight_requests_total",
    MetricKind::Counter,
    "requests, counted at their start; also with the labels of connections",
);
/// Last-seen time of a caller.
pub const LAST_SEEN: Metric<PeerLabels> = Metric::new(
    "plainsight_last_seen_timestamp_seconds",
    MetricKind::Gauge,
    "last time a caller without mutual TLS had a connection open or sent a request, within 5 seconds",
);
/// Failed handshakes.
pub const HANDSHAKE_FAILURES: Metric<HandshakeLabels> = Metric::new(
    "plainsight_handshake_failures_total",
    MetricKind::Counter,
    "TLS handshakes that failed because of the client's certificate: none, unknown authority, expired; always 0 before Envoy 1.37, which gives no reason",
);
/// Everything counted as overflow.
pub const OVERFLOW_TOTAL: Metric<NoLabels> = Metric::new(
    "plainsight_overflow_total",
    MetricKind::Counter,
    "connections, requests and failed handshakes counted under a label `overflow`",
);
/// Host errors.
pub const ATTRIBUTE_ERRORS: Metric<AttributeLabels> = Metric::new(
    "plainsight_attribute_errors_total",
    MetricKind::Counter,
    "values that Envoy refused or that could not be decoded",
);
/// Problems in the configuration.
pub const CONFIG_ERRORS: Metric<ConfigLabels<'_>> = Metric::new(
    "plainsight_config_errors",
    MetricKind::Gauge,
    "problems in the configuration in force, 0 = valid",
);
/// The build.
pub const BUILD_INFO: Metric<BuildLabels> =
    Metric::new("plainsight_build_info", MetricKind::Gauge, "1");

/// Every metric.
pub const METRICS: [Row; 8] = [
    CONNECTIONS.row(),
    REQUESTS.row(),
    LAST_SEEN.row(),
    HANDSHAKE_FAILURES.row(),
    OVERFLOW_TOTAL.row(),
    ATTRIBUTE_ERRORS.row(),
    CONFIG_ERRORS.row(),
    BUILD_INFO.row(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;
    use crate::labels::tests::peer_labels;

    #[test]
    fn labels_are_packed_into_one_tag() {
        let mut host = FakeHost::default();
        let id = CONNECTIONS.define(&mut host, &peer_labels()).unwrap();
        host.increment_metric(id, 1).unwrap();
        assert_eq!(
            host.value(
                "tag.peer=plaintext,strict=reject,source_ip=unknown,destination_workload=web,destination_workload_namespace=shop,destination_port=8080;.plainsight_connections_total"
            ),
            1
        );
    }

    #[test]
    fn a_metric_without_labels_has_its_bare_name() {
        let mut host = FakeHost::default();
        let id = OVERFLOW_TOTAL.define(&mut host, &NoLabels).unwrap();
        host.increment_metric(id, 2).unwrap();
        assert_eq!(host.value("plainsight_overflow_total"), 2);
    }
}
