//! The door to Envoy: every host call the filter makes, each with a `Result`.
//!
//! The trait knows nothing of callers, peers or metrics' names. Production stands behind it in
//! [`crate::abi`], tests in a scripted fake.

/// A host call that did not succeed, with Envoy's status number.
///
/// Numbers and names: proxy-wasm ABI 0.2.1, `proxy_status_t`
/// (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>). Envoy also answers numbers that
/// the SDK's enum lacks, so the number is kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// What was asked for is not there.
    pub const NOT_FOUND: Status = Status(1);
    /// The host's memory write into the module failed, or the module had no room for the value.
    pub const INVALID_MEMORY_ACCESS: Status = Status(6);
    /// Nothing there: Envoy's other word for an absent value.
    pub const EMPTY: Status = Status(7);
    /// Shared data was changed by another worker since it was read.
    pub const CAS_MISMATCH: Status = Status(8);

    /// True when the status says "absent" and not "failed".
    pub fn is_absence(self) -> bool {
        self == Status::NOT_FOUND || self == Status::EMPTY
    }
}

/// A metric's id, valid in this VM only. 0 is a valid id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub u32);

/// The kinds of metric the filter defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Goes up only.
    Counter,
    /// Goes up and down; process-wide, shared by all workers.
    Gauge,
}

/// Log levels, as the ABI numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `info`: 2.
    Info,
    /// `warn`: 3, the lowest level that a stock sidecar prints for Wasm.
    Warn,
    /// `error`: 4.
    Error,
}

/// Which of a stream's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// What the caller sent.
    Request,
    /// What the application answered.
    Response,
}

/// Envoy, as the filter sees it.
///
/// Values come back in `into`, which is emptied first; after an error it is empty.
pub trait Host {
    /// Reads a property; `path` holds its elements joined by NUL bytes.
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] when it is absent here, any other status when the host failed.
    fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Sets a property of the filter's own: on a network context for as long as its connection lasts, and for all
    /// requests on it to see.
    ///
    /// # Errors
    /// Any status but Ok.
    fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status>;

    /// Reads up to `most` bytes from the start of the downstream data just received.
    ///
    /// # Errors
    /// Any status but Ok.
    fn downstream_data(&mut self, most: u32, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Reads the plugin's configuration, `size` bytes.
    ///
    /// # Errors
    /// Any status but Ok.
    fn plugin_configuration(&mut self, size: u32, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Reads one header's value, as bytes: values need not be UTF-8.
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] when the header is absent.
    fn header(&mut self, headers: Headers, name: &str, into: &mut Vec<u8>) -> Result<(), Status>;

    /// Sets a header, in place of every value it had.
    ///
    /// # Errors
    /// Any status but Ok.
    fn replace_header(&mut self, headers: Headers, name: &str, value: &[u8]) -> Result<(), Status>;

    /// Adds a header beside those already there.
    ///
    /// # Errors
    /// Any status but Ok.
    fn add_header(&mut self, headers: Headers, name: &str, value: &[u8]) -> Result<(), Status>;

    /// Defines a metric, or finds the one of that name.
    ///
    /// # Errors
    /// Any status but Ok.
    fn define_metric(&mut self, kind: MetricKind, name: &str) -> Result<MetricId, Status>;

    /// Adds to a metric. A counter takes 1 or more (0 is a bad argument), a gauge any number.
    ///
    /// # Errors
    /// Any status but Ok.
    fn increment_metric(&mut self, id: MetricId, by: i64) -> Result<(), Status>;

    /// Sets a gauge.
    ///
    /// # Errors
    /// Any status but Ok.
    fn record_metric(&mut self, id: MetricId, value: u64) -> Result<(), Status>;

    /// Reads a value that all VMs of the process share, and its version for [`Host::set_shared`].
    ///
    /// # Errors
    /// [`Status::NOT_FOUND`] when no VM has set it yet.
    fn shared(&mut self, key: &str, into: &mut Vec<u8>) -> Result<u32, Status>;

    /// Sets a shared value if its version is still `version`; 0 sets it whatever the version.
    ///
    /// # Errors
    /// [`Status::CAS_MISMATCH`] when another worker was first.
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Status>;

    /// Nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// Any status but Ok.
    fn now(&mut self) -> Result<u64, Status>;

    /// Asks for `proxy_on_tick` every so many milliseconds, for the root context in effect.
    ///
    /// # Errors
    /// Any status but Ok.
    fn tick_every(&mut self, milliseconds: u32) -> Result<(), Status>;

    /// Writes a line to Envoy's log. A refusal has nowhere to be told.
    fn log(&mut self, level: Level, line: &str);
}
