//! The label sets of the metrics. A label set is a struct that encodes itself; the documentation is generated from
//! the same definition.

use crate::caller::SourceIp;
use crate::label_value::push_encoded;
use crate::security::{ConnectionSecurity, Strict};
use crate::traffic::Traffic;
use std::fmt::Write;
use std::rc::Rc;

/// The label value for anything beyond a limit.
pub const OVERFLOW: &str = "overflow";

/// A label: its name and, for the documentation, its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
}

/// A value that can be encoded as a label's value.
trait LabelValue {
    /// Appends the value. Nothing appended omits the label.
    fn push(&self, into: &mut String);
}

/// The labels of a metric.
pub trait LabelSet {
    /// The labels, in order.
    const LABELS: &'static [Label];

    /// Appends `name=value` for every value that is not empty, separated by commas.
    fn encode(&self, into: &mut String);
}

/// Appends `name=value`, unless the value is empty.
fn encode_label(into: &mut String, name: &str, value: &impl LabelValue) {
    let start = into.len();
    if start > 0 {
        into.push(',');
    }
    into.push_str(name);
    into.push('=');
    let before = into.len();
    value.push(into);
    if into.len() == before {
        into.truncate(start);
    }
}

/// Defines a label set: each field with its type, its label and its meaning.
macro_rules! label_set {
    ($(#[$doc:meta])* $set:ident $(<$life:lifetime>)? { $($field:ident: $type:ty = $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $set $(<$life>)? { $(#[doc = $meaning] pub $field: $type,)* }

        impl $(<$life>)? LabelSet for $set $(<$life>)? {
            const LABELS: &'static [Label] =
                &[$(Label { name: stringify!($field), meaning: $meaning },)*];

            fn encode(&self, into: &mut String) {
                $(encode_label(into, stringify!($field), &self.$field);)*
            }
        }
    };
}

label_set! {
    /// Labels of a classified peer: those of connections, requests and last-seen times.
    PeerLabels {
        peer: ConnectionSecurity = "how the connection was secured: `mutual_tls`, `tls_no_client_cert`, `tls_passthrough` or `plaintext`",
        strict: Strict = "what STRICT would do: `allow`, `reject`, or `exempt` (a port in `exempt`)",
        source_ip: Option<SourceIp> = "address of the TCP peer, or its block (`ipv4Prefix`, `ipv6Prefix`); `forwarded`: only an address from `X-Forwarded-For` was visible; `overflow`: beyond `maxCallers`; `unknown`: no IP address",
        source_name: Option<Rc<str>> = "name of the address in `callers`",
        source_principal: Option<Principal> = "SPIFFE id of a mutual TLS peer, with `principals: true`; `overflow`: beyond `maxCallers`",
        destination_workload: Rc<str> = "workload that was called (`WORKLOAD_NAME` of the proxy's node metadata)",
        destination_workload_namespace: Rc<str> = "namespace of that workload (`NAMESPACE` of the proxy's node metadata)",
        destination_port: Option<Port> = "target port; `overflow`: beyond 64 ports",
    }
}

label_set! {
    /// Labels of failed handshakes: only the address of the peer is known.
    HandshakeLabels {
        source_ip: Option<SourceIp> = "as above",
        source_name: Option<Rc<str>> = "as above",
        destination_workload: Rc<str> = "as above",
        destination_workload_namespace: Rc<str> = "as above",
        destination_port: Option<Port> = "as above",
    }
}

label_set! {
    /// The label of requests in addition to their peer's labels.
    TrafficLabel {
        traffic: Option<Traffic> = "`app`, `probe` or `scrape`, a hint from the User-Agent; not on mutual TLS requests",
    }
}

label_set! {
    /// Labels of host errors.
    AttributeLabels {
        attribute: &'static str = "value that could not be read, decoded or written: a closed set",
    }
}

label_set! {
    /// Labels of the configuration's problems.
    ConfigLabels<'a> {
        vm_id: &'a str = "`vm_id` of the plugin, if set; Istio leaves it empty",
    }
}

label_set! {
    /// Labels of the build.
    BuildLabels {
        version: &'static str = "version of the filter",
    }
}

/// No labels.
#[derive(Clone, Copy, Debug)]
pub struct NoLabels;

impl LabelSet for NoLabels {
    const LABELS: &'static [Label] = &[];

    fn encode(&self, _: &mut String) {}
}

/// Labels of requests.
#[derive(Clone, Debug)]
pub struct RequestLabels<'p> {
    /// Labels of the peer.
    pub peer: &'p PeerLabels,
    /// Label of the request itself.
    pub traffic: TrafficLabel,
}

impl LabelSet for RequestLabels<'_> {
    // The peer's labels are documented with the connections.
    const LABELS: &'static [Label] = TrafficLabel::LABELS;

    fn encode(&self, into: &mut String) {
        self.peer.encode(into);
        self.traffic.encode(into);
    }
}

impl PeerLabels {
    /// Whether the value of any label is `overflow`.
    pub fn is_overflow(&self) -> bool {
        self.source_ip == Some(SourceIp::Overflow)
            || self.source_principal == Some(Principal::Overflow)
            || self.destination_port == Some(Port::Overflow)
    }
}

impl HandshakeLabels {
    /// Whether the value of any label is `overflow`.
    pub fn is_overflow(&self) -> bool {
        self.source_ip == Some(SourceIp::Overflow) || self.destination_port == Some(Port::Overflow)
    }
}

/// A mutual TLS peer's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The URI of its certificate: untrusted text.
    Uri(Rc<str>),
    /// Beyond `maxCallers`.
    Overflow,
}

/// A destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// Its number.
    Number(u16),
    /// Beyond the ports with their own series.
    Overflow,
}

impl LabelValue for Principal {
    fn push(&self, into: &mut String) {
        match self {
            // A certificate's URI must not look like the filter's own value.
            Principal::Uri(uri) if **uri == *OVERFLOW => into.push_str("%6Fverflow"),
            Principal::Uri(uri) => push_encoded(into, uri),
            Principal::Overflow => into.push_str(OVERFLOW),
        }
    }
}

impl LabelValue for Port {
    fn push(&self, into: &mut String) {
        match self {
            // Writing into a String cannot fail.
            Port::Number(number) => write!(into, "{number}").unwrap_or_default(),
            Port::Overflow => into.push_str(OVERFLOW),
        }
    }
}

impl LabelValue for SourceIp {
    fn push(&self, into: &mut String) {
        write!(into, "{self}").unwrap_or_default();
    }
}

impl LabelValue for ConnectionSecurity {
    fn push(&self, into: &mut String) {
        into.push_str(self.as_str());
    }
}

impl LabelValue for Strict {
    fn push(&self, into: &mut String) {
        into.push_str(self.as_str());
    }
}

impl LabelValue for Traffic {
    fn push(&self, into: &mut String) {
        into.push_str(self.as_str());
    }
}

impl LabelValue for &str {
    fn push(&self, into: &mut String) {
        push_encoded(into, self);
    }
}

impl LabelValue for Rc<str> {
    fn push(&self, into: &mut String) {
        push_encoded(into, self);
    }
}

impl<V: LabelValue> LabelValue for Option<V> {
    fn push(&self, into: &mut String) {
        if let Some(value) = self {
            value.push(into);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Labels of a plaintext caller of shop/web:8080.
    pub(crate) fn peer_labels() -> PeerLabels {
        PeerLabels {
            peer: ConnectionSecurity::Plaintext,
            strict: Strict::Reject,
            source_ip: Some(SourceIp::Unknown),
            source_name: None,
            source_principal: None,
            destination_workload: "web".into(),
            destination_workload_namespace: "shop".into(),
            destination_port: Some(Port::Number(8080)),
        }
    }

    fn encoded(labels: &impl LabelSet) -> String {
        let mut out = String::new();
        labels.encode(&mut out);
        out
    }

    #[test]
    fn labels_are_encoded_in_order_and_empty_ones_left_out() {
        let labels = PeerLabels {
            destination_workload_namespace: "".into(),
            ..peer_labels()
        };
        assert_eq!(
            encoded(&labels),
            "peer=plaintext,strict=reject,source_ip=unknown,destination_workload=web,destination_port=8080"
        );
        assert_eq!(encoded(&ConfigLabels { vm_id: "" }), "");
    }

    #[test]
    fn a_request_has_its_peer_s_labels_and_then_its_traffic() {
        let labels = RequestLabels {
            peer: &peer_labels(),
            traffic: TrafficLabel {
                traffic: Some(Traffic::Probe),
            },
        };
        assert!(encoded(&labels).ends_with(",destination_port=8080,traffic=probe"));
    }

    #[test]
    fn a_certificate_cannot_use_the_filter_s_own_value() {
        let labels = |principal| PeerLabels {
            source_principal: Some(principal),
            ..peer_labels()
        };
        let uri = labels(Principal::Uri(OVERFLOW.into()));
        let overflow = labels(Principal::Overflow);
        assert!(encoded(&uri).contains("source_principal=%6Fverflow,"));
        assert!(encoded(&overflow).contains("source_principal=overflow,"));
        assert!(!uri.is_overflow() && overflow.is_overflow());
    }

    #[test]
    fn a_failed_handshake_is_overflow_by_its_address_or_its_port() {
        let ip = SourceIp::Forwarded;
        for (source_ip, port, is_overflow) in [
            (ip, Port::Number(8080), false),
            (SourceIp::Overflow, Port::Number(8080), true),
            (ip, Port::Overflow, true),
        ] {
            let labels = HandshakeLabels {
                source_ip: Some(source_ip),
                source_name: None,
                destination_workload: "web".into(),
                destination_workload_namespace: "shop".into(),
                destination_port: Some(port),
            };
            assert_eq!(labels.is_overflow(), is_overflow, "{labels:?}");
        }
    }
}
