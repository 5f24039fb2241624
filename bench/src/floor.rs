//! Modules without logic: what Envoy's entries and host calls cost, whatever a filter does between them.
//!
//! Each enters and asks as plainsight does, and does nothing with what it is told. They are written in WebAssembly's
//! text, so that nothing of a language or an SDK is in them.

use anyhow::{Context, Result};

/// What a module without logic does with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Floor {
    /// It is entered as plainsight is.
    Entries,
    /// Without `proxy_on_context_create`.
    NoContext,
    /// Without `proxy_on_response_headers`.
    NoResponse,
    /// Without `proxy_on_downstream_data`.
    NoData,
    /// Sets the header.
    Header,
    /// Asks for its connection's mark.
    Mark,
    /// Asks for `connection.id`.
    Id,
    /// Asks for the bare `connection_id`.
    BareId,
    /// Asks for the User-Agent.
    UserAgent,
    /// Increments a counter.
    Count,
    /// All that plainsight asks on a warm mutual TLS request: the mark, the header.
    MutualTls,
    /// All that it asks on a warm plaintext request: the mark, the User-Agent, the counter, the header.
    Plaintext,
}

impl Floor {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::Entries,
        Self::NoContext,
        Self::NoResponse,
        Self::NoData,
        Self::Header,
        Self::Mark,
        Self::Id,
        Self::BareId,
        Self::UserAgent,
        Self::Count,
        Self::MutualTls,
        Self::Plaintext,
    ];

    /// The name in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entries => "floor: entries alone",
            Self::NoContext => "floor: without context",
            Self::NoResponse => "floor: without response",
            Self::NoData => "floor: without data",
            Self::Header => "floor: header",
            Self::Mark => "floor: mark",
            Self::Id => "floor: connection.id",
            Self::BareId => "floor: connection_id",
            Self::UserAgent => "floor: User-Agent",
            Self::Count => "floor: counter",
            Self::MutualTls => "floor: mutual TLS",
            Self::Plaintext => "floor: plaintext",
        }
    }

    /// The word in listener and file names.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Entries => "floor-entries",
            Self::NoContext => "floor-no-context",
            Self::NoResponse => "floor-no-response",
            Self::NoData => "floor-no-data",
            Self::Header => "floor-header",
            Self::Mark => "floor-mark",
            Self::Id => "floor-id",
            Self::BareId => "floor-bare-id",
            Self::UserAgent => "floor-user-agent",
            Self::Count => "floor-count",
            Self::MutualTls => "floor-mutual-tls",
            Self::Plaintext => "floor-plaintext",
        }
    }

    fn calls(self) -> String {
        match self {
            Self::Entries | Self::NoContext | Self::NoResponse | Self::NoData => String::new(),
            Self::Header => HEADER.into(),
            Self::Mark => MARK.into(),
            Self::Id => ID.into(),
            Self::BareId => BARE_ID.into(),
            Self::UserAgent => USER_AGENT.into(),
            Self::Count => COUNT.into(),
            Self::MutualTls => [MARK, HEADER].concat(),
            Self::Plaintext => [MARK, USER_AGENT, COUNT, HEADER].concat(),
        }
    }

    /// The module.
    ///
    /// # Errors
    /// Its text is no module.
    pub fn module(self) -> Result<Vec<u8>> {
        let export = |is_there: bool, text: &'static str| if is_there { text } else { "" };
        let text = [
            HEAD,
            export(self != Self::NoContext, CONTEXT),
            export(self != Self::NoData, DATA),
            export(self != Self::NoResponse, RESPONSE),
            REQUEST,
            &self.calls(),
            "(i32.const 0)))",
        ]
        .concat();
        wat::parse_str(text).with_context(|| format!("{}: no module", self.as_str()))
    }
}

/// The mark is set on each new connection: an empty property.
const HEAD: &str = r#"(module
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $mark (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "connection\00id")
  (data (i32.const 1088) "connection_id")
  (data (i32.const 1152) "plainsight/18867251edfa0000/3")
  (data (i32.const 1216) "x-plainsight-peer")
  (data (i32.const 1280) "plaintext;strict=reject;source_ip=\22127.0.0.1\22")
  (data (i32.const 1344) "user-agent")
  (data (i32.const 1408) "floor_requests_total")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 1408) (i32.const 20) (i32.const 520)))
    (i32.const 1))
  (func (export "proxy_on_new_connection") (param i32) (result i32)
    (drop (call $mark (i32.const 1152) (i32.const 29) (i32.const 0) (i32.const 0)))
    (i32.const 0))
  (func (export "proxy_on_downstream_connection_close") (param i32 i32))
"#;
const CONTEXT: &str = r#"(func (export "proxy_on_context_create") (param i32 i32))"#;
const DATA: &str =
    r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) (i32.const 0))"#;
const RESPONSE: &str =
    r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#;
const REQUEST: &str =
    r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;

const ID: &str =
    "(drop (call $property (i32.const 1024) (i32.const 13) (i32.const 512) (i32.const 516)))";
const BARE_ID: &str =
    "(drop (call $property (i32.const 1088) (i32.const 13) (i32.const 512) (i32.const 516)))";
const MARK: &str =
    "(drop (call $property (i32.const 1152) (i32.const 29) (i32.const 512) (i32.const 516)))";
const HEADER: &str = "(drop (call $replace (i32.const 0) (i32.const 1216) (i32.const 17) (i32.const 1280) (i32.const 45)))";
const USER_AGENT: &str = "(drop (call $header (i32.const 0) (i32.const 1344) (i32.const 10) (i32.const 512) (i32.const 516)))";
const COUNT: &str = "(drop (call $increment (i32.load (i32.const 520)) (i64.const 1)))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_small_module() {
        for floor in Floor::ALL {
            let size = floor.module().unwrap().len();
            assert!((500..1_500).contains(&size), "{}: {size}", floor.as_str());
        }
    }
}
