//! The status codes a proxy-wasm host answers with.
//!
//! Source: <https://github.com/proxy-wasm/proxy-wasm-cpp-sdk/blob/main/proxy_wasm_common.h> (`WasmResult`).

/// What a host call answered. The module must live with every one of them from every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u32);

impl Status {
    /// The call succeeded.
    pub const OK: Self = Self(0);
    /// The property, metric, or header does not exist.
    pub const NOT_FOUND: Self = Self(1);
    /// An argument makes no sense here, for example a counter increment of 0.
    pub const BAD_ARGUMENT: Self = Self(2);
    /// The property exists and cannot be turned into bytes.
    pub const SERIALIZATION_FAILURE: Self = Self(3);
    /// A pointer leads out of the module's memory.
    pub const INVALID_MEMORY_ACCESS: Self = Self(6);
    /// The host failed in itself.
    pub const INTERNAL_FAILURE: Self = Self(10);
    /// The largest status of the ABI (`Unimplemented`).
    pub const LARGEST: u32 = 12;
}
