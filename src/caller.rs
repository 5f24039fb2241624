//! Who a caller without mutual TLS is, as far as it can be known. Pure.

use crate::address::{Cidr, Endpoint};
use crate::settings::Settings;

/// Whom the TCP peer's address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The address of the TCP peer.
    Peer(std::net::IpAddr),
    /// Only an address from `X-Forwarded-For` was to be seen: the client chose it, so it is nobody's.
    Forwarded,
    /// No IP address: a Unix domain socket, or a value that could not be read.
    Unknown,
}

impl Source {
    /// What an address says. `None`: it could not be read.
    pub fn of(endpoint: Option<Endpoint>) -> Source {
        match endpoint {
            None => Source::Unknown,
            // With `use_remote_address: false`, as Istio sets it inbound, Envoy takes `source.address` in
            // HTTP contexts from X-Forwarded-For, and the port is then 0 (measured on 1.36.2 and 1.40.0).
            Some(Endpoint { port: 0, .. }) => Source::Forwarded,
            Some(Endpoint { ip, .. }) => Source::Peer(ip),
        }
    }

    /// Appends the value of label `source_ip`.
    pub fn push_ip(self, settings: &Settings, into: &mut String) {
        use std::fmt::Write;
        match self {
            Source::Peer(ip) => {
                let prefix = if ip.is_ipv4() {
                    settings.ipv4_prefix
                } else {
                    settings.ipv6_prefix
                };
                // Writing into a String cannot fail.
                let _ = write!(into, "{}", Cidr::around(ip, prefix));
            }
            Source::Forwarded => into.push_str("forwarded"),
            Source::Unknown => into.push_str("unknown"),
        }
    }

    /// The operator's name for the address: that of the longest prefix; empty when there is none.
    pub fn name(self, settings: &Settings) -> &str {
        let Source::Peer(ip) = self else { return "" };
        settings
            .callers
            .iter()
            .filter(|named| named.cidr.contains(ip))
            .max_by_key(|named| named.cidr.prefix())
            .map_or("", |named| named.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::NamedCidr;

    fn source(text: &str) -> Source {
        Source::of(Endpoint::parse(text.as_bytes()))
    }

    fn ip(settings: &Settings, text: &str) -> String {
        let mut out = String::new();
        source(text).push_ip(settings, &mut out);
        out
    }

    #[test]
    fn a_peer_is_named_by_its_address_or_its_block() {
        let mut settings = Settings::default();
        assert_eq!(ip(&settings, "10.1.2.3:4"), "10.1.2.3");
        assert_eq!(ip(&settings, "[fd00::7]:4"), "fd00::7");
        settings.ipv4_prefix = 24;
        settings.ipv6_prefix = 64;
        assert_eq!(ip(&settings, "10.1.2.3:4"), "10.1.2.0/24");
        assert_eq!(ip(&settings, "[fd00::7]:4"), "fd00::/64");
    }

    #[test]
    fn a_forwarded_address_is_never_the_client_s_word() {
        assert_eq!(ip(&Settings::default(), "9.9.9.9:0"), "forwarded");
        assert_eq!(ip(&Settings::default(), "@/run/socket"), "unknown");
    }

    #[test]
    fn the_longest_prefix_names_the_caller() {
        let named = |cidr: &str, name: &str| NamedCidr {
            cidr: Cidr::parse(cidr).unwrap(),
            name: name.into(),
        };
        let settings = Settings {
            callers: vec![
                named("10.20.0.0/16", "vms"),
                named("10.0.0.0/8", "all"),
                named("10.20.5.0/24", "legacy"),
            ],
            ..Settings::default()
        };
        assert_eq!(source("10.20.5.9:1").name(&settings), "legacy");
        assert_eq!(source("10.20.6.9:1").name(&settings), "vms");
        assert_eq!(source("10.99.0.1:1").name(&settings), "all");
        assert_eq!(source("11.0.0.1:1").name(&settings), "");
        assert_eq!(
            source("10.20.5.9:0").name(&settings),
            "",
            "forwarded addresses have no name"
        );
    }
}
