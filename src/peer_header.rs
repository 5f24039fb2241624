//! The header's value: a Structured Field item (RFC 9651).

use crate::caller::SourceIp;
use crate::security::{ConnectionSecurity, Strict};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::rc::Rc;

/// The value for a connection that could not be classified.
pub const UNKNOWN: &str = "unknown";

/// A String is limited to printable ASCII (RFC 9651, section 3.3.3).
const UNPRINTABLE: &AsciiSet = CONTROLS;

/// `plaintext;strict=reject;source_ip="10.0.0.7"`.
pub fn for_caller(security: ConnectionSecurity, strict: Strict, source_ip: SourceIp) -> Rc<str> {
    item(security, strict, "source_ip", &source_ip.to_string())
}

/// `mutual_tls;strict=allow;principal="spiffe://..."`, without the parameter if the principal is empty.
pub fn for_principal(principal: &str) -> Rc<str> {
    item(
        ConnectionSecurity::MutualTls,
        Strict::Allow,
        "principal",
        principal,
    )
}

fn item(security: ConnectionSecurity, strict: Strict, parameter: &str, value: &str) -> Rc<str> {
    if value.is_empty() {
        return [security.as_str(), ";strict=", strict.as_str()]
            .concat()
            .into();
    }
    let mut out = String::with_capacity(value.len().saturating_add(48));
    let begin = [security.as_str(), ";strict=", strict.as_str()];
    out.extend(begin.into_iter().chain([";", parameter, "=\""]));
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
    if value.bytes().all(plain) {
        out.push_str(value);
    } else {
        for part in utf8_percent_encode(value, UNPRINTABLE) {
            for character in part.chars() {
                if matches!(character, '"' | '\\') {
                    out.push('\\');
                }
                out.push(character);
            }
        }
    }
    out.push('"');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Source;
    use crate::settings::Settings;

    #[test]
    fn a_caller_has_its_address_and_a_mutual_tls_peer_its_principal() {
        let ip = Source::parse("10.0.0.7:80").label(&Settings::default());
        assert_eq!(
            &*for_caller(ConnectionSecurity::Plaintext, Strict::Reject, ip),
            "plaintext;strict=reject;source_ip=\"10.0.0.7\""
        );
        assert_eq!(
            &*for_principal("spiffe://cluster.local/ns/shop/sa/web"),
            "mutual_tls;strict=allow;principal=\"spiffe://cluster.local/ns/shop/sa/web\""
        );
    }

    #[test]
    fn a_value_cannot_close_its_string() {
        assert_eq!(
            &*for_principal("a\";b=\"c\\\r\n\u{e9}"),
            "mutual_tls;strict=allow;principal=\"a\\\";b=\\\"c\\\\%0D%0A%C3%A9\""
        );
        assert_eq!(
            &*for_principal("\"\\"),
            "mutual_tls;strict=allow;principal=\"\\\"\\\\\""
        );
    }

    #[test]
    fn a_certificate_without_a_uri_has_no_principal() {
        assert_eq!(&*for_principal(""), "mutual_tls;strict=allow");
    }
}
