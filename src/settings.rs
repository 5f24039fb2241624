//! The plugin's configuration, validated. Pure: text in, settings and problems out.
//!
//! Parsing never fails: each faulty key takes its default, and every problem is told with its path.

mod json;
mod parse;

use crate::address::Cidr;
use crate::metrics::LabelForm;

/// A configuration key: its name, default and meaning, for the documentation.
pub const KEYS: [(&str, &str, &str); 11] = [
    (
        "labels",
        "`\"stock\"`",
        "`stock`: one label `tag` that the recording rules unpack, on any stock sidecar; `native`: real labels, for meshes whose `extraStatTags` lists them",
    ),
    (
        "exemptPorts",
        "`[]`",
        "target ports that stay plaintext under STRICT (`portLevelMtls`)",
    ),
    (
        "callers",
        "`[]`",
        "names for addresses: `[{\"cidr\": \"10.20.0.0/16\", \"name\": \"legacy-vms\"}]`; the longest prefix wins",
    ),
    (
        "ipv4Prefix",
        "`32`",
        "aggregate IPv4 callers to blocks of this prefix, 0 to 32",
    ),
    (
        "ipv6Prefix",
        "`128`",
        "aggregate IPv6 callers to blocks of this prefix, 0 to 128",
    ),
    (
        "maxCallers",
        "`1000`",
        "distinct callers without mutual TLS per proxy, 1 to 10000; the rest is counted as `overflow`",
    ),
    (
        "principals",
        "`false`",
        "label mutual TLS peers with their SPIFFE id",
    ),
    (
        "requestHeader",
        "`\"x-plainsight-peer\"`",
        "header to the application, or `null` for none",
    ),
    (
        "responseHeader",
        "`null`",
        "header to callers that STRICT would reject, or `null` for none",
    ),
    (
        "deprecation",
        "none",
        "`{\"since\": RFC 3339, \"sunset\": RFC 3339, \"link\": URL}`, each of them optional: `Deprecation`, `Sunset` and `Link` beside the response header; needs `responseHeader`",
    ),
    (
        "logCallers",
        "`true`",
        "one JSON line at level warn for each new caller without mutual TLS",
    ),
];

/// An address block with the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCidr {
    /// The block.
    pub cidr: Cidr,
    /// Its name, not empty.
    pub name: String,
}

/// What a caller is told beside the response header; each part ready to be sent, absent when not configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deprecation {
    /// `Deprecation: @1767225600` (RFC 9745).
    pub since: Option<String>,
    /// `Sunset: Thu, 01 Jan 2026 00:00:00 GMT` (RFC 8594).
    pub sunset: Option<String>,
    /// `Link: <…>; rel="deprecation"`.
    pub link: Option<String>,
}

/// A configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How labels stand in metric names.
    pub labels: LabelForm,
    /// Ports that stay out of STRICT.
    pub exempt_ports: Vec<u16>,
    /// Names for addresses.
    pub callers: Vec<NamedCidr>,
    /// Leading bits of an IPv4 caller that count.
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 caller that count.
    pub ipv6_prefix: u8,
    /// How many callers without mutual TLS have series of their own, over all workers.
    pub max_callers: u32,
    /// Whether mutual TLS peers are told apart.
    pub principals: bool,
    /// Header to the application.
    pub request_header: Option<String>,
    /// Header to the caller.
    pub response_header: Option<String>,
    /// What goes with the response header.
    pub deprecation: Deprecation,
    /// Whether new callers are logged.
    pub log_callers: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            labels: LabelForm::Stock,
            exempt_ports: Vec::new(),
            callers: Vec::new(),
            ipv4_prefix: 32,
            ipv6_prefix: 128,
            max_callers: 1000,
            principals: false,
            request_header: Some("x-plainsight-peer".into()),
            response_header: None,
            deprecation: Deprecation::default(),
            log_callers: true,
        }
    }
}

impl Settings {
    /// Reads a configuration; no bytes at all are the defaults. Gives every problem with its path.
    pub fn parse(json: &[u8]) -> (Settings, Vec<String>) {
        parse::parse(json)
    }

    /// Whether a port stays out of STRICT.
    pub fn is_exempt(&self, port: Option<u16>) -> bool {
        port.is_some_and(|port| self.exempt_ports.contains(&port))
    }
}
