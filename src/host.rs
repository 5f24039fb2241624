//! The host: every call that the filter makes to Envoy, each with a `Result`.
//!
//! [`crate::abi`] implements the trait for Envoy, unit tests with a scripted double. The trait is independent of
//! callers, verdicts and metric names.

/// A host call that failed, with its status number.
///
/// Numbers: proxy-wasm ABI 0.2.1, `proxy_status_t`
/// (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>). Envoy also returns numbers that are
/// missing from the SDK's enum, so the raw number is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// The value is absent.
    pub const NOT_FOUND: Status = Status(1);
    /// The value does not fit into the module's memory.
    pub const INVALID_MEMORY_ACCESS: Status = Status(6);
    /// The value is empty: Envoy's other status for an absent one.
    pub const EMPTY: Status = Status(7);

    /// Whether the status means "absent" rather than "failed".
    pub fn is_absence(self) -> bool {
        self == Status::NOT_FOUND || self == Status::EMPTY
    }
}

/// A metric's id, valid in this VM only. 0 is a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// The kinds of metric that the filter defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up.
    Counter,
    /// Goes up and down. Process-wide: shared by all workers.
    Gauge,
}

/// One of a stream's header maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// From the client.
    Request,
    /// From the application.
    Response,
}

/// Envoy, as the filter sees it.
///
/// Values are written to `into`, which is cleared first and stays empty after an error.
pub trait Host {
    /// Reads a property; the elements of `path` are separated by NUL bytes.
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] if it is absent, any other status if the host failed.
    fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Sets one of the filter's own properties. Set in a network context, it lives as long as the connection and
    /// every request on the connection can read it.
    ///
    /// # Errors
    /// Any status but Ok.
    fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status>;

    /// Reads up to `max` bytes from the start of the downstream data that just arrived.
    ///
    /// # Errors
    /// Any status but Ok.
    fn downstream_data(&mut self, max: usize, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Reads the plugin's configuration of `size` bytes.
    ///
    /// # Errors
    /// Any status but Ok.
    fn plugin_configuration(&mut self, size: usize, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Reads a header's value as bytes, because values need not be UTF-8.
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] if the header is absent.
    fn header(&mut self, map: HeaderMap, name: &str, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Sets a header and removes its other values.
    ///
    /// # Errors
    /// Any status but Ok.
    fn replace_header(&mut self, map: HeaderMap, name: &str, value: &str) -> Result<(), Status>;

    /// Adds a header value.
    ///
    /// # Errors
    /// Any status but Ok.
    fn add_header(&mut self, map: HeaderMap, name: &str, value: &str) -> Result<(), Status>;

    /// Defines a metric, or finds the one with that name.
    ///
    /// # Errors
    /// Any status but Ok.
    fn define_metric(&mut self, kind: MetricKind, name: &str) -> Result<MetricId, Status>;

    /// Adds to a counter. Envoy rejects 0 and negative increments.
    ///
    /// # Errors
    /// Any status but Ok.
    fn increment_metric(&mut self, id: MetricId, by: i64) -> Result<(), Status>;

    /// Sets a gauge.
    ///
    /// # Errors
    /// Any status but Ok.
    fn record_metric(&mut self, id: MetricId, value: u64) -> Result<(), Status>;

    /// Nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// Any status but Ok.
    fn now(&mut self) -> Result<u64, Status>;

    /// Requests `proxy_on_tick` at this interval for the plugin context of the current call.
    ///
    /// # Errors
    /// Any status but Ok.
    fn tick_every(&mut self, milliseconds: u32) -> Result<(), Status>;
}
