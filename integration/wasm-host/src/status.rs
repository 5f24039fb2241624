//! The status codes of a proxy-wasm host.
//!
//! Source: <https://github.com/proxy-wasm/proxy-wasm-cpp-sdk/blob/main/proxy_wasm_common.h> (`WasmResult`).

/// The status of a host call. The module must handle every status from every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u32);

impl Status {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// The property, metric, or header does not exist.
    pub const NOT_FOUND: Self = Self(1);
    /// An invalid argument, for example a counter increment of 0.
    pub const BAD_ARGUMENT: Self = Self(2);
    /// The property exists but cannot be serialized.
    pub const SERIALIZATION_FAILURE: Self = Self(3);
    /// A pointer outside the module's memory.
    pub const INVALID_MEMORY_ACCESS: Self = Self(6);
    /// An internal error of the host.
    pub const INTERNAL_FAILURE: Self = Self(10);
    /// The largest status of the ABI (`Unimplemented`).
    pub const LARGEST: u32 = 12;
}
