//! Addresses as Envoy prints them, and CIDR blocks as operators write them. Knows text only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A TCP peer: its address, and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; an IPv4 address mapped into IPv6 is given as IPv4, for it is the same caller.
    pub ip: IpAddr,
    /// The port. 0 is no port of a TCP peer: Envoy writes it for an address taken from
    /// `X-Forwarded-For` (measured; <https://github.com/envoyproxy/envoy/blob/main/source/common/http/utility.cc>).
    pub port: u16,
}

impl Endpoint {
    /// Reads `10.0.0.7:4312` or `[fd00::7]:4312`; `None` for anything else. A zone (`%eth0`) is dropped.
    pub fn parse(text: &[u8]) -> Option<Endpoint> {
        let text = std::str::from_utf8(text).ok()?;
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

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The block of the first `prefix` bits of `ip`; a prefix beyond the address's width is its width.
    pub fn around(ip: IpAddr, prefix: u8) -> Cidr {
        match ip {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX
                    .checked_shl(32_u32.saturating_sub(u32::from(prefix)))
                    .unwrap_or(0);
                Cidr {
                    first: IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)),
                    prefix,
                }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX
                    .checked_shl(128_u32.saturating_sub(u32::from(prefix)))
                    .unwrap_or(0);
                Cidr {
                    first: IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)),
                    prefix,
                }
            }
        }
    }

    /// Reads `10.20.0.0/16`, `fd00::/8`, or one address without a prefix; `None` for anything else, bits
    /// behind the prefix among it: `10.20.0.1/16` may be a slip of either half.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = host.parse().ok()?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) => {
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                digits.parse().ok().filter(|&prefix| prefix <= width)?
            }
        };
        let block = Cidr::around(ip, prefix);
        (block.first == ip).then_some(block)
    }

    /// Whether the block holds the address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && Cidr::around(ip, self.prefix).first == self.first
    }

    /// How many leading bits are fixed.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl std::fmt::Display for Cidr {
    /// One address without its prefix, a block with it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = if self.first.is_ipv4() { 32 } else { 128 };
        if self.prefix == width {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(text: &str) -> Option<(String, u16)> {
        Endpoint::parse(text.as_bytes()).map(|peer| (peer.ip.to_string(), peer.port))
    }

    #[test]
    fn envoy_s_two_forms_are_read() {
        assert_eq!(endpoint("10.0.0.7:4312"), Some(("10.0.0.7".into(), 4312)));
        assert_eq!(endpoint("[fd00::7]:1"), Some(("fd00::7".into(), 1)));
        assert_eq!(endpoint("[fe80::1%eth0]:9"), Some(("fe80::1".into(), 9)));
        assert_eq!(endpoint("9.9.9.9:0"), Some(("9.9.9.9".into(), 0)));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_caller_it_stands_for() {
        assert_eq!(
            endpoint("[::ffff:10.0.0.7]:80"),
            Some(("10.0.0.7".into(), 80))
        );
    }

    #[test]
    fn other_text_is_no_address() {
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
        assert_eq!(Endpoint::parse(b"\xff:1"), None);
    }

    #[test]
    fn blocks_are_read_and_printed() {
        for text in ["10.20.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0", "10.0.0.7"] {
            assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Cidr::parse("10.0.0.7/32").unwrap().to_string(), "10.0.0.7");
    }

    #[test]
    fn slips_are_no_blocks() {
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
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_block_holds_its_own_family_only() {
        let all = Cidr::parse("0.0.0.0/0").unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        let block = Cidr::parse("10.20.0.0/16").unwrap();
        assert!(block.contains("10.20.255.1".parse().unwrap()));
        assert!(!block.contains("10.21.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn every_printed_endpoint_is_read_back(bits: u128, port: u16, four: bool) {
            let ip = if four {
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let text = std::net::SocketAddr::new(ip, port).to_string();
            let read = Endpoint::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read, Endpoint { ip: ip.to_canonical(), port });
        }

        #[test]
        fn an_address_is_in_every_block_around_it(bits: u128, prefix: u8, four: bool) {
            let ip = if four {
                IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let block = Cidr::around(ip, prefix);
            prop_assert!(block.contains(ip));
            prop_assert_eq!(Cidr::parse(&block.to_string()), Some(block));
        }

        #[test]
        fn any_bytes_are_harmless(bytes: Vec<u8>, text: String) {
            let _ = Endpoint::parse(&bytes);
            let _ = Cidr::parse(&text);
        }
    }
}
