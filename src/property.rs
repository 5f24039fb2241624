//! Envoy's properties as typed values: bytes are decoded here, by exact length, and nowhere else.
//!
//! Absent and unreadable are two things: absence is `Ok(None)`, a host error or bytes of the wrong width
//! are [`Unreadable`], counted and told by [`Trouble`].

use crate::host::{Host, Status};
use crate::trouble::Trouble;

/// A value that is there but cannot be had. It was counted and told already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A property: how it is asked for, and its name for people.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Elements joined by NUL bytes.
    path: &'static str,
    /// The path before Envoy 1.33, tried second.
    older: Option<&'static str>,
    /// For the log.
    name: &'static str,
}

macro_rules! property {
    ($(#[$doc:meta])* $constant:ident, $path:literal, $name:literal $(, $older:literal)?) => {
        $(#[$doc])*
        pub const $constant: Property = Property { path: $path, older: older!($($older)?), name: $name };
    };
}
macro_rules! older {
    () => {
        None
    };
    ($path:literal) => {
        Some($path)
    };
}

impl Property {
    property!(
        /// u64: the connection's id, from 0 on.
        CONNECTION_ID, "connection\0id", "connection.id");
    property!(
        /// Text: the SPIFFE id; absent without TLS, and without a URI in the certificate.
        URI_SAN, "connection\0uri_san_peer_certificate", "connection.uri_san_peer_certificate");
    property!(
        /// Bool: a peer certificate was presented.
        MTLS, "connection\0mtls", "connection.mtls");
    property!(
        /// Text: the principal of the HBONE tunnel, set by Istio's connect_authority.
        HBONE_PRINCIPAL, "filter_state\0io.istio.peer_principal", "filter_state.io.istio.peer_principal");
    property!(
        /// Text: absent when TLS does not end here.
        TLS_VERSION, "connection\0tls_version", "connection.tls_version");
    property!(
        /// Text: why the transport failed.
        FAILURE_REASON, "connection\0transport_failure_reason", "connection.transport_failure_reason");
    property!(
        /// Text: address and port of the caller.
        SOURCE_ADDRESS, "source\0address", "source.address");
    property!(
        /// i64: the target port.
        DESTINATION_PORT, "destination\0port", "destination.port");
    property!(
        /// i64: 1 inbound, 2 outbound. Bare until Envoy 1.32
        /// (<https://github.com/envoyproxy/envoy/pull/36598>).
        LISTENER_DIRECTION, "xds\0listener_direction", "xds.listener_direction", "listener_direction");
    property!(
        /// Text: the workload that this proxy serves.
        WORKLOAD_NAME, "xds\0node\0metadata\0WORKLOAD_NAME", "xds.node.metadata.WORKLOAD_NAME", "node\0metadata\0WORKLOAD_NAME");
    property!(
        /// Text: its namespace.
        NAMESPACE, "xds\0node\0metadata\0NAMESPACE", "xds.node.metadata.NAMESPACE", "node\0metadata\0NAMESPACE");
    property!(
        /// Text: what Istio's metadata says the caller's workload is.
        CLAIMED_WORKLOAD, "filter_state\0downstream_peer\0workload", "filter_state.downstream_peer.workload");
    property!(
        /// Text: what Istio's metadata says the caller's namespace is.
        CLAIMED_NAMESPACE, "filter_state\0downstream_peer\0namespace", "filter_state.downstream_peer.namespace");
}

/// For the log: the filter's own property of a connection.
const MARK: &str = "the connection's mark";

/// The host with what every reader of it needs.
#[derive(Debug)]
pub struct Access<H> {
    /// Envoy.
    pub host: H,
    /// Where errors go.
    pub trouble: Trouble,
    /// The value read last.
    pub bytes: Vec<u8>,
}

impl<H: Host> Access<H> {
    /// Access to a host.
    pub fn new(host: H) -> Access<H> {
        Access {
            host,
            trouble: Trouble::default(),
            bytes: Vec::new(),
        }
    }

    /// Counts a refusal of any host call, and gives `None` for it.
    pub fn granted<T>(&mut self, what: &'static str, outcome: Result<T, Status>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(status) => {
                self.trouble.refused(&mut self.host, what, status);
                None
            }
        }
    }

    /// Reads a property into `self.bytes`; false when it is absent.
    ///
    /// # Errors
    /// [`Unreadable`] when the host failed.
    pub fn read(&mut self, property: Property) -> Result<bool, Unreadable> {
        let mut outcome = self.host.property(property.path, &mut self.bytes);
        if let (Err(status), Some(older)) = (outcome, property.older)
            && status.is_absence()
        {
            outcome = self.host.property(older, &mut self.bytes);
        }
        match outcome {
            Ok(()) => Ok(true),
            Err(status) if status.is_absence() => Ok(false),
            Err(status) => {
                self.trouble.refused(&mut self.host, property.name, status);
                Err(Unreadable)
            }
        }
    }

    /// Whether an empty property of the filter's own is there. Host errors and a value count as errors, and say no.
    pub fn is_marked(&mut self, name: &str) -> bool {
        match self.host.property(name, &mut self.bytes) {
            Ok(()) if self.bytes.is_empty() => true,
            Ok(()) => {
                let came = self.bytes.len();
                self.trouble
                    .undecodable(&mut self.host, MARK, "no bytes", came);
                false
            }
            Err(status) => {
                if !status.is_absence() {
                    self.trouble.refused(&mut self.host, MARK, status);
                }
                false
            }
        }
    }

    /// Eight bytes, little-endian. Envoy writes u64 and i64 alike
    /// (<https://github.com/envoyproxy/envoy/blob/main/source/extensions/common/wasm/context.cc>, `serializeValue`).
    ///
    /// # Errors
    /// [`Unreadable`] when the host failed or the width is another.
    pub fn integer(&mut self, property: Property) -> Result<Option<u64>, Unreadable> {
        if !self.read(property)? {
            return Ok(None);
        }
        match <[u8; 8]>::try_from(self.bytes.as_slice()) {
            Ok(bytes) => Ok(Some(u64::from_le_bytes(bytes))),
            Err(_) => self.wrong(property, "8 bytes"),
        }
    }

    /// One byte, 0 or 1.
    ///
    /// # Errors
    /// [`Unreadable`] when the host failed or the byte is another.
    pub fn boolean(&mut self, property: Property) -> Result<Option<bool>, Unreadable> {
        if !self.read(property)? {
            return Ok(None);
        }
        match self.bytes.as_slice() {
            [0] => Ok(Some(false)),
            [1] => Ok(Some(true)),
            _ => self.wrong(property, "one byte, 0 or 1"),
        }
    }

    /// UTF-8 text of at most `most` bytes; an empty one counts as absent.
    ///
    /// # Errors
    /// [`Unreadable`] when the host failed, or for other bytes.
    pub fn text(&mut self, property: Property, most: usize) -> Result<Option<String>, Unreadable> {
        if !self.read(property)? {
            return Ok(None);
        }
        self.decoded(property, most)
    }

    /// The bytes read last as UTF-8 text of at most `most` bytes; an empty one counts as absent.
    ///
    /// # Errors
    /// [`Unreadable`] for other bytes.
    pub fn decoded(
        &mut self,
        property: Property,
        most: usize,
    ) -> Result<Option<String>, Unreadable> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if text.len() <= most => Ok(Some(text.into())),
            _ => self.wrong(property, "text of a sane length"),
        }
    }

    /// Tells that the bytes read last are not what the property should be.
    ///
    /// # Errors
    /// Always [`Unreadable`].
    pub fn wrong<T>(&mut self, property: Property, wanted: &str) -> Result<T, Unreadable> {
        let came = self.bytes.len();
        self.trouble
            .undecodable(&mut self.host, property.name, wanted, came);
        Err(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;

    fn with(path: &str, bytes: &[u8]) -> Access<FakeHost> {
        let mut host = FakeHost::default();
        host.set(path, bytes);
        Access::new(host)
    }

    #[test]
    fn an_integer_is_eight_bytes_and_nothing_else() {
        let mut access = with("connection.id", &258_u64.to_le_bytes());
        assert_eq!(access.integer(Property::CONNECTION_ID), Ok(Some(258)));
        for width in [0, 1, 4, 7, 9, 16] {
            let mut access = with("connection.id", &vec![1; width]);
            assert_eq!(
                access.integer(Property::CONNECTION_ID),
                Err(Unreadable),
                "{width}"
            );
            assert_eq!(access.host.value("plainsight_attribute_errors_total"), 1);
        }
    }

    #[test]
    fn a_boolean_is_one_byte_of_0_or_1() {
        assert_eq!(
            with("connection.mtls", &[1]).boolean(Property::MTLS),
            Ok(Some(true))
        );
        assert_eq!(
            with("connection.mtls", &[0]).boolean(Property::MTLS),
            Ok(Some(false))
        );
        for bytes in [&[][..], &[2], &[0, 0]] {
            assert_eq!(
                with("connection.mtls", bytes).boolean(Property::MTLS),
                Err(Unreadable)
            );
        }
    }

    #[test]
    fn absence_is_no_error() {
        let mut access = Access::new(FakeHost::default());
        assert_eq!(access.integer(Property::CONNECTION_ID), Ok(None));
        assert_eq!(access.text(Property::URI_SAN, 10), Ok(None));
        assert_eq!(access.host.value("plainsight_attribute_errors_total"), 0);
    }

    #[test]
    fn text_is_utf8_of_a_sane_length() {
        assert_eq!(
            with("source.address", b"abc").text(Property::SOURCE_ADDRESS, 3),
            Ok(Some("abc".into()))
        );
        assert_eq!(
            with("source.address", b"").text(Property::SOURCE_ADDRESS, 3),
            Ok(None)
        );
        assert_eq!(
            with("source.address", b"abcd").text(Property::SOURCE_ADDRESS, 3),
            Err(Unreadable)
        );
        assert_eq!(
            with("source.address", b"\xff").text(Property::SOURCE_ADDRESS, 3),
            Err(Unreadable)
        );
    }

    #[test]
    fn every_failing_status_is_an_error_and_no_absence() {
        for status in [2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 99] {
            let mut access = Access::new(FakeHost::default());
            access.host.fail("property", Status(status));
            assert_eq!(
                access.integer(Property::CONNECTION_ID),
                Err(Unreadable),
                "{status}"
            );
            assert_eq!(access.host.value("plainsight_attribute_errors_total"), 1);
        }
    }

    #[test]
    fn older_names_are_tried_second() {
        let mut access = with("listener_direction", &2_u64.to_le_bytes());
        assert_eq!(access.integer(Property::LISTENER_DIRECTION), Ok(Some(2)));
        assert_eq!(
            access.host.asked,
            ["xds.listener_direction", "listener_direction"]
        );
        let mut access = with("xds.listener_direction", &1_u64.to_le_bytes());
        assert_eq!(access.integer(Property::LISTENER_DIRECTION), Ok(Some(1)));
        assert_eq!(access.host.asked, ["xds.listener_direction"]);
    }
}
