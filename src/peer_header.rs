//! The header that tells a verdict: a Structured Field item (RFC 9651). Pure.

use crate::label_value::push_percent;
use crate::peer::{Peer, Strict};

/// What stands in the header when the connection could not be read: a guess would be a lie.
pub const UNKNOWN: &[u8] = b"unknown";

/// `plaintext;strict=reject;source_ip="10.0.0.7"`.
pub fn for_caller(peer: Peer, strict: Strict, source_ip: &str) -> String {
    item(peer, strict, "source_ip", source_ip)
}

/// `mutual_tls;strict=allow;principal="spiffe://…"`; without the parameter when the principal is empty.
pub fn for_principal(principal: &str) -> String {
    item(Peer::MutualTls, Strict::Allow, "principal", principal)
}

fn item(peer: Peer, strict: Strict, parameter: &str, value: &str) -> String {
    let mut out = String::with_capacity(value.len().saturating_add(48));
    out.push_str(peer.as_str());
    out.push_str(";strict=");
    out.push_str(strict.as_str());
    if !value.is_empty() {
        out.push(';');
        out.push_str(parameter);
        out.push_str("=\"");
        push_string(&mut out, value);
        out.push('"');
    }
    out
}

/// The inside of an sf-string: printable ASCII with `"` and `\` escaped; other bytes are
/// percent-encoded, for a String cannot hold them (RFC 9651, section 3.3.3).
fn push_string(into: &mut String, text: &str) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => {
                into.push('\\');
                into.push(char::from(byte));
            }
            b' '..=b'~' => into.push(char::from(byte)),
            _ => push_percent(into, byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_examples_of_the_contract() {
        assert_eq!(
            for_caller(Peer::Plaintext, Strict::Reject, "10.0.0.7"),
            "plaintext;strict=reject;source_ip=\"10.0.0.7\""
        );
        assert_eq!(
            for_principal("spiffe://cluster.local/ns/shop/sa/web"),
            "mutual_tls;strict=allow;principal=\"spiffe://cluster.local/ns/shop/sa/web\""
        );
    }

    #[test]
    fn no_value_can_leave_its_string() {
        assert_eq!(
            for_principal("a\";b=\"c\\\r\n\u{e9}"),
            "mutual_tls;strict=allow;principal=\"a\\\";b=\\\"c\\\\%0D%0A%C3%A9\""
        );
    }

    #[test]
    fn a_certificate_without_a_uri_has_no_principal() {
        assert_eq!(for_principal(""), "mutual_tls;strict=allow");
    }
}
