//! Identifies callers without mutual TLS. Pure.

use crate::address::{Endpoint, block_of};
use crate::labels::OVERFLOW;
use crate::settings::Settings;
use ipnet::IpNet;
use std::net::IpAddr;
use std::rc::Rc;

/// The source of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The address of the TCP peer.
    Peer(IpAddr),
    /// Only an address from `X-Forwarded-For` was visible. Client-supplied, so not trusted.
    Forwarded,
    /// No IP address: a Unix domain socket, or a value that could not be read.
    Unknown,
}

impl Source {
    /// Parses `source.address`.
    pub fn parse(address: &str) -> Source {
        match Endpoint::parse(address) {
            None => Source::Unknown,
            // Istio sets `use_remote_address: false` on inbound listeners. Envoy then takes `source.address` in
            // HTTP contexts from X-Forwarded-For, with port 0 (measured on 1.36.2 and 1.40.0).
            Some(Endpoint { port: 0, .. }) => Source::Forwarded,
            Some(Endpoint { ip, .. }) => Source::Peer(ip),
        }
    }

    /// The value of label `source_ip`.
    pub fn label(self, settings: &Settings) -> SourceIp {
        match self {
            Source::Peer(ip) => {
                SourceIp::Block(block_of(ip, settings.ipv4_prefix, settings.ipv6_prefix))
            }
            Source::Forwarded => SourceIp::Forwarded,
            Source::Unknown => SourceIp::Unknown,
        }
    }

    /// The operator's name for the address; the longest prefix wins.
    pub fn name(self, settings: &Settings) -> Option<Rc<str>> {
        let Source::Peer(ip) = self else { return None };
        let blocks = settings.callers.iter();
        blocks
            .filter(|caller| caller.block.contains(&ip))
            .max_by_key(|caller| caller.block.prefix_len())
            .map(|caller| Rc::clone(&caller.name))
    }
}

/// The label `source_ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceIp {
    /// An address, or the block that it is aggregated to.
    Block(IpNet),
    /// See [`Source::Forwarded`].
    Forwarded,
    /// See [`Source::Unknown`].
    Unknown,
    /// Beyond `maxCallers`.
    Overflow,
}

impl std::fmt::Display for SourceIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceIp::Block(block) if block.prefix_len() == block.max_prefix_len() => {
                write!(f, "{}", block.addr())
            }
            SourceIp::Block(block) => write!(f, "{block}"),
            SourceIp::Forwarded => f.write_str("forwarded"),
            SourceIp::Unknown => f.write_str("unknown"),
            SourceIp::Overflow => f.write_str(OVERFLOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_block;
    use crate::settings::NamedBlock;

    fn ip(settings: &Settings, address: &str) -> String {
        Source::parse(address).label(settings).to_string()
    }

    #[test]
    fn a_peer_is_its_address_or_its_block() {
        let mut settings = Settings::default();
        assert_eq!(ip(&settings, "10.1.2.3:4"), "10.1.2.3");
        assert_eq!(ip(&settings, "[fd00::7]:4"), "fd00::7");
        settings.ipv4_prefix = 24;
        settings.ipv6_prefix = 64;
        assert_eq!(ip(&settings, "10.1.2.3:4"), "10.1.2.0/24");
        assert_eq!(ip(&settings, "[fd00::7]:4"), "fd00::/64");
    }

    #[test]
    fn a_forwarded_address_is_not_used() {
        assert_eq!(ip(&Settings::default(), "9.9.9.9:0"), "forwarded");
        assert_eq!(ip(&Settings::default(), "@/run/socket"), "unknown");
    }

    #[test]
    fn the_longest_prefix_names_the_caller() {
        let named = |block, name: &str| NamedBlock {
            block: parse_block(block).unwrap(),
            name: name.into(),
        };
        let settings = Settings {
            callers: vec![
                named("10.20.0.0/16", "vms"),
                named("10.0.0.0/8", "all"),
                named("10.20.5.0/24", "legacy"),
                named("::ffff:192.168.0.0/112", "mapped"),
            ],
            ..Settings::default()
        };
        let name = |address| Source::parse(address).name(&settings);
        assert_eq!(name("10.20.5.9:1").as_deref(), Some("legacy"));
        assert_eq!(name("10.20.6.9:1").as_deref(), Some("vms"));
        assert_eq!(name("10.99.0.1:1").as_deref(), Some("all"));
        assert_eq!(name("192.168.7.1:1").as_deref(), Some("mapped"));
        assert_eq!(name("11.0.0.1:1"), None);
        assert_eq!(name("10.20.5.9:0"), None, "a forwarded address");
    }
}
