//! Addresses as Envoy prints them, and CIDR blocks as operators write them. Pure.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// A TCP peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address. An IPv4-mapped IPv6 address is converted to IPv4, because it is the same caller.
    pub ip: IpAddr,
    /// The port. 0 if Envoy took the address from `X-Forwarded-For`
    /// (measured; <https://github.com/envoyproxy/envoy/blob/main/source/common/http/utility.cc>).
    pub port: u16,
}

impl Endpoint {
    /// Parses `10.0.0.7:4312` or `[fd00::7]:4312`. A zone (`%eth0`) is dropped. `None` for anything else.
    pub fn parse(text: &str) -> Option<Endpoint> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let ip = match host.strip_prefix('[') {
            Some(rest) => {
                let host = rest.strip_suffix(']')?;
                let host = host.split_once('%').map_or(host, |(host, _zone)| host);
                IpAddr::V6(host.parse().ok()?)
            }
            None => IpAddr::V4(host.parse().ok()?),
        };
        Some(Endpoint {
            ip: ip.to_canonical(),
            port,
        })
    }
}

/// Parses `10.20.0.0/16`, `fd00::/8`, or a single address. An IPv4-mapped block is converted to IPv4.
///
/// # Errors
/// A description of the problem. Host bits after the prefix (`10.20.0.1/16`) are an error, because the typo may be
/// in either part.
pub fn parse_block(text: &str) -> Result<IpNet, &'static str> {
    let block: IpNet = match text.parse::<IpAddr>() {
        Ok(ip) => ip.into(),
        Err(_) => text.parse().map_err(|_| "not a CIDR block")?,
    };
    if block.trunc() != block {
        return Err("a CIDR block with bits after its prefix");
    }
    Ok(canonical(block))
}

/// Converts an IPv4-mapped block (`::ffff:10.0.0.0/104`) to IPv4.
fn canonical(block: IpNet) -> IpNet {
    let IpNet::V6(v6) = block else { return block };
    let mapped = v6.addr().to_ipv4_mapped();
    let prefix = v6.prefix_len().checked_sub(96);
    match mapped
        .zip(prefix)
        .map(|(ip, prefix)| Ipv4Net::new(ip, prefix))
    {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => block,
    }
}

/// The block that an address belongs to. A prefix longer than the address keeps all of its bits.
pub fn block_of(ip: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> IpNet {
    let block = match ip {
        IpAddr::V4(v4) => Ipv4Net::new(v4, ipv4_prefix).map(IpNet::V4),
        IpAddr::V6(v6) => Ipv6Net::new(v6, ipv6_prefix).map(IpNet::V6),
    };
    block.unwrap_or(IpNet::from(ip)).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn endpoint(text: &str) -> Option<(String, u16)> {
        Endpoint::parse(text).map(|peer| (peer.ip.to_string(), peer.port))
    }

    fn block(text: &str) -> String {
        parse_block(text).unwrap().to_string()
    }

    #[test]
    fn ipv4_and_ipv6_endpoints_are_parsed() {
        assert_eq!(endpoint("10.0.0.7:4312"), Some(("10.0.0.7".into(), 4312)));
        assert_eq!(endpoint("[fd00::7]:1"), Some(("fd00::7".into(), 1)));
        assert_eq!(endpoint("[fe80::1%eth0]:9"), Some(("fe80::1".into(), 9)));
        assert_eq!(endpoint("9.9.9.9:0"), Some(("9.9.9.9".into(), 0)));
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_caller() {
        let mapped = endpoint("[::ffff:10.0.0.7]:80");
        assert_eq!(mapped, Some(("10.0.0.7".into(), 80)));
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "",
            ":",
            "10.0.0.7",
            "10.0.0:1",
            "fd00::7:1",
            "[fd00::7]",
            "1.2.3.4:99999",
            "@/run/x",
            "[1.2.3.4]:5",
        ] {
            assert_eq!(endpoint(text), None, "{text}");
        }
    }

    #[test]
    fn blocks_are_parsed() {
        for text in ["10.20.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0"] {
            assert_eq!(block(text), text);
        }
        assert_eq!(block("10.0.0.7"), "10.0.0.7/32");
    }

    #[test]
    fn an_ipv4_mapped_block_is_an_ipv4_block() {
        assert_eq!(block("::ffff:10.20.0.0/112"), "10.20.0.0/16");
        assert_eq!(block("::ffff:10.0.0.7"), "10.0.0.7/32");
        assert_eq!(block("::ffff:0:0/96"), "0.0.0.0/0");
        assert_eq!(block("::/95"), "::/95");
    }

    #[test]
    fn malformed_blocks_are_rejected() {
        for text in [
            "10.0.0/8",
            "10.20.0.1/16",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "a/8",
            "",
            "10.0.0.0/08x",
        ] {
            assert!(parse_block(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_printed_endpoint_is_parsed(bits: u128, port: u16, four: bool) {
            let ip = if four {
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let text = SocketAddr::new(ip, port).to_string();
            let parsed = Endpoint::parse(&text).unwrap();
            prop_assert_eq!(parsed, Endpoint { ip: ip.to_canonical(), port });
        }

        #[test]
        fn an_address_is_in_every_block_around_it(bits: u128, prefix: u8, four: bool) {
            let ip = if four {
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let block = block_of(ip, prefix, prefix);
            prop_assert!(block.contains(&ip));
            prop_assert_eq!(block, block.trunc());
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (Endpoint::parse(&text), parse_block(&text));
        }
    }
}
