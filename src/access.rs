//! Typed access to the host: the only place that decodes bytes, by exact length.
//!
//! Absent is `Ok(None)`. A host error or bytes of the wrong form are [`Unreadable`], counted and logged by
//! [`AttributeErrors`].

use crate::attribute::Attribute;
use crate::attribute_errors::AttributeErrors;
use crate::host::{HeaderMap, Host, MetricId, Status};
use crate::labels::LabelSet;
use crate::metrics::Metric;

/// A value that could not be read or decoded. Already counted and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The host and its errors.
#[derive(Debug)]
pub struct Access<H> {
    /// Envoy.
    pub host: H,
    errors: AttributeErrors,
    /// The last value read.
    pub bytes: Vec<u8>,
}

impl<H: Host> Access<H> {
    /// Access to a host.
    pub fn new(host: H) -> Access<H> {
        Access {
            host,
            errors: AttributeErrors::default(),
            bytes: Vec::new(),
        }
    }

    /// Counts and logs an error without a host status.
    pub fn record_error(&mut self, attribute: Attribute, problem: std::fmt::Arguments<'_>) {
        self.errors.record(&mut self.host, attribute, problem);
    }

    /// The value of a host call. Counts and logs a failed call.
    fn checked<T>(&mut self, attribute: Attribute, result: Result<T, Status>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Status(status)) => {
                self.record_error(attribute, format_args!("host status {status}"));
                None
            }
        }
    }

    /// Reads a property into `self.bytes`; false if it is absent.
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed.
    pub fn read(&mut self, attribute: Attribute) -> Result<bool, Unreadable> {
        match self.host.property(attribute.path, &mut self.bytes) {
            Ok(()) => Ok(true),
            Err(status) if status.is_absence() => Ok(false),
            Err(status) => {
                self.checked::<()>(attribute, Err(status));
                Err(Unreadable)
            }
        }
    }

    /// Eight bytes, little-endian. Envoy writes u64 and i64 alike
    /// (<https://github.com/envoyproxy/envoy/blob/main/source/extensions/common/wasm/context.cc>, `serializeValue`).
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed or the length differs.
    pub fn integer(&mut self, attribute: Attribute) -> Result<Option<u64>, Unreadable> {
        if !self.read(attribute)? {
            return Ok(None);
        }
        match <[u8; 8]>::try_from(self.bytes.as_slice()) {
            Ok(bytes) => Ok(Some(u64::from_le_bytes(bytes))),
            Err(_) => self.undecodable(attribute, "8 bytes"),
        }
    }

    /// One byte, 0 or 1.
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed or the bytes are not a boolean.
    pub fn boolean(&mut self, attribute: Attribute) -> Result<Option<bool>, Unreadable> {
        if !self.read(attribute)? {
            return Ok(None);
        }
        match self.bytes.as_slice() {
            [0] => Ok(Some(false)),
            [1] => Ok(Some(true)),
            _ => self.undecodable(attribute, "one byte, 0 or 1"),
        }
    }

    /// UTF-8 of at most `max` bytes. Empty text counts as absent.
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed or the bytes are not such text.
    pub fn text(&mut self, attribute: Attribute, max: usize) -> Result<Option<&str>, Unreadable> {
        if !self.read(attribute)? || self.bytes.is_empty() {
            return Ok(None);
        }
        if self.bytes.len() > max || std::str::from_utf8(&self.bytes).is_err() {
            return self.undecodable(attribute, "UTF-8 text within its maximum length");
        }
        Ok(std::str::from_utf8(&self.bytes).ok())
    }

    /// Records that the bytes just read are not a valid value of the attribute.
    ///
    /// # Errors
    /// Always [`Unreadable`].
    pub fn undecodable<T>(
        &mut self,
        attribute: Attribute,
        expected: &str,
    ) -> Result<T, Unreadable> {
        let len = self.bytes.len();
        self.record_error(
            attribute,
            format_args!("expected {expected}, got {len} bytes"),
        );
        Err(Unreadable)
    }

    /// Reads up to `max` bytes from the start of the downstream data into `self.bytes`.
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed.
    pub fn downstream_data(&mut self, max: usize) -> Result<(), Unreadable> {
        let result = self.host.downstream_data(max, &mut self.bytes);
        self.checked(Attribute::DOWNSTREAM_DATA, result)
            .ok_or(Unreadable)
    }

    /// Reads the request's User-Agent into `self.bytes`; empty if it is absent or unreadable.
    pub fn user_agent(&mut self) {
        let result = self
            .host
            .header(HeaderMap::Request, "user-agent", &mut self.bytes);
        if let Err(status) = result
            && !status.is_absence()
        {
            self.checked::<()>(Attribute::USER_AGENT, Err(status));
        }
    }

    /// Sets the header to the application.
    pub fn set_request_header(&mut self, name: &str, value: &str) {
        let result = self.host.replace_header(HeaderMap::Request, name, value);
        self.checked(Attribute::REQUEST_HEADER, result);
    }

    /// Adds a header to the caller, unless the application set it.
    pub fn add_response_header(&mut self, name: &str, value: &str) {
        let read = self.host.header(HeaderMap::Response, name, &mut self.bytes);
        match read {
            Ok(()) => {}
            Err(status) if status.is_absence() => {
                let result = self.host.add_header(HeaderMap::Response, name, value);
                self.checked(Attribute::RESPONSE_HEADER, result);
            }
            Err(status) => {
                self.checked::<()>(Attribute::RESPONSE_HEADER, Err(status));
            }
        }
    }

    /// Seconds since the Unix epoch; `None` if the host failed.
    pub fn unix_seconds(&mut self) -> Option<u64> {
        Some(self.unix_nanoseconds()? / 1_000_000_000)
    }

    /// Nanoseconds since the Unix epoch; `None` if the host failed.
    pub fn unix_nanoseconds(&mut self) -> Option<u64> {
        let result = self.host.now();
        self.checked(Attribute::TIME, result)
    }

    /// Starts the timer of the plugin that is being configured.
    pub fn tick_every(&mut self, milliseconds: u32) {
        let result = self.host.tick_every(milliseconds);
        self.checked(Attribute::TIMER, result);
    }

    /// The plugin's configuration. Empty if it is absent.
    ///
    /// # Errors
    /// [`Unreadable`] if the host failed.
    pub fn plugin_configuration(&mut self, size: usize) -> Result<Vec<u8>, Unreadable> {
        let mut json = Vec::new();
        // Envoy reports size 0 for an absent configuration.
        if size > 0 {
            let result = self.host.plugin_configuration(size, &mut json);
            self.checked(Attribute::PLUGIN_CONFIGURATION, result)
                .ok_or(Unreadable)?;
        }
        Ok(json)
    }

    /// Sets a property of the current connection; false if the host failed.
    pub fn set_connection_property(&mut self, name: &str, value: &[u8]) -> bool {
        let result = self.host.set_property(name, value);
        self.checked(Attribute::CONNECTION_LINK, result).is_some()
    }

    /// Whether the current connection has an empty property of that name.
    pub fn has_connection_property(&mut self, name: &str) -> bool {
        match self.host.property(name, &mut self.bytes) {
            Ok(()) => self.bytes.is_empty(),
            Err(status) => {
                if !status.is_absence() {
                    self.checked::<()>(Attribute::CONNECTION_LINK, Err(status));
                }
                false
            }
        }
    }

    /// Defines a metric with these labels and returns its id. `None` if the host failed.
    pub fn define<L: LabelSet>(&mut self, metric: Metric<L>, labels: &L) -> Option<MetricId> {
        let result = metric.define(&mut self.host, labels);
        self.checked(Attribute::METRIC, result)
    }

    /// Adds to a counter.
    pub fn increment(&mut self, id: MetricId, by: i64) {
        let result = self.host.increment_metric(id, by);
        self.checked(Attribute::METRIC, result);
    }

    /// Sets a gauge.
    pub fn record(&mut self, id: MetricId, value: u64) {
        let result = self.host.record_metric(id, value);
        self.checked(Attribute::METRIC, result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;

    const MTLS: Attribute = Attribute::MTLS;
    const PORT: Attribute = Attribute::DESTINATION_PORT;
    const ADDRESS: Attribute = Attribute::SOURCE_ADDRESS;

    fn with(attribute: Attribute, bytes: &[u8]) -> Access<FakeHost> {
        let mut host = FakeHost::default();
        host.set(attribute, bytes);
        Access::new(host)
    }

    #[test]
    fn an_integer_has_exactly_eight_bytes() {
        let mut access = with(PORT, &258_u64.to_le_bytes());
        assert_eq!(access.integer(PORT), Ok(Some(258)));
        for width in [0, 1, 4, 7, 9, 16] {
            let mut access = with(PORT, &vec![1; width]);
            assert_eq!(access.integer(PORT), Err(Unreadable), "{width}");
            assert_eq!(access.host.attribute_errors(PORT), 1, "{width}");
        }
    }

    #[test]
    fn a_boolean_is_one_byte_of_0_or_1() {
        assert_eq!(with(MTLS, &[1]).boolean(MTLS), Ok(Some(true)));
        assert_eq!(with(MTLS, &[0]).boolean(MTLS), Ok(Some(false)));
        for bytes in [&[][..], &[2], &[0, 0]] {
            assert_eq!(with(MTLS, bytes).boolean(MTLS), Err(Unreadable));
        }
    }

    #[test]
    fn text_is_utf8_within_its_maximum_length() {
        assert_eq!(with(ADDRESS, b"abc").text(ADDRESS, 3), Ok(Some("abc")));
        assert_eq!(with(ADDRESS, b"").text(ADDRESS, 3), Ok(None));
        assert_eq!(with(ADDRESS, b"abcd").text(ADDRESS, 3), Err(Unreadable));
        assert_eq!(with(ADDRESS, b"\xff").text(ADDRESS, 3), Err(Unreadable));
    }

    #[test]
    fn every_status_except_absence_is_an_error() {
        for status in [1, 7] {
            let mut access = Access::new(FakeHost::default());
            access.host.fail("property", Status(status));
            assert_eq!(access.integer(PORT), Ok(None), "{status}");
            assert_eq!(access.host.attribute_errors(PORT), 0, "{status}");
        }
        for status in [2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 99] {
            let mut access = Access::new(FakeHost::default());
            access.host.fail("property", Status(status));
            assert_eq!(access.integer(PORT), Err(Unreadable), "{status}");
            assert_eq!(access.host.attribute_errors(PORT), 1, "{status}");
        }
    }

    #[test]
    fn an_absent_header_or_property_is_no_error_and_a_failed_call_is_one() {
        for (status, errors) in [(Status::NOT_FOUND, 0), (Status(10), 1)] {
            let mut access = Access::new(FakeHost::default());
            access.host.fail("header", status);
            access.host.fail("property", status);
            access.user_agent();
            access.add_response_header("x-you", "a");
            assert!(!access.has_connection_property("mark"));
            for attribute in [
                Attribute::USER_AGENT,
                Attribute::RESPONSE_HEADER,
                Attribute::CONNECTION_LINK,
            ] {
                assert_eq!(access.host.attribute_errors(attribute), errors);
            }
            let added = access.host.response_headers.len();
            assert_eq!(added, usize::from(errors == 0));
        }
    }

    #[test]
    fn a_configuration_of_size_0_is_not_asked_for() {
        let mut access = Access::new(FakeHost::default());
        assert_eq!(access.plugin_configuration(0), Ok(Vec::new()));
        assert_eq!(access.host.calls, [""; 0]);
    }
}
