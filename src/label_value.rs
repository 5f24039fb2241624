//! Text from outside, made safe to stand in a metric's name as a label value, in both label forms.
//!
//! Envoy cuts labels out of a metric's name with regexes that are not anchored, so a value may neither
//! hold what separates labels nor what any stock regex of Istio matches
//! (<https://github.com/istio/istio/blob/master/tools/packaging/common/envoy_bootstrap.json>,
//! <https://github.com/istio/istio/blob/master/pkg/bootstrap/config.go>).

/// What the stock regexes that could match inside a value begin with. The anchored ones cannot.
const TRAPS: [&str; 7] = [
    "cache.",
    "component.",
    "tag.",
    "wasm_filter.",
    "rbac.",
    ".istio_dry_run_",
    ".shadow_",
];

/// Appends `text` so that it comes out of Envoy whole, in its own label and in no other.
///
/// `;`, `,`, `=`, `%`, quotes, backslash, control and non-ASCII bytes are percent-encoded; so are the dots
/// of a text that a stock regex could match. Everything else comes out as it went in.
pub fn push_safe(into: &mut String, text: &str) {
    let hide_dots = TRAPS.iter().any(|trap| text.contains(trap));
    for &byte in text.as_bytes() {
        let plain = match byte {
            b';' | b',' | b'=' | b'%' | b'"' | b'\'' | b'`' | b'\\' => false,
            b'.' => !hide_dots,
            b' '..=b'~' => true,
            _ => false,
        };
        if plain {
            into.push(char::from(byte));
        } else {
            push_percent(into, byte);
        }
    }
}

/// Appends `%XX`.
pub fn push_percent(into: &mut String, byte: u8) {
    into.push('%');
    for nibble in [byte >> 4, byte & 15] {
        into.push(
            char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe(text: &str) -> String {
        let mut out = String::new();
        push_safe(&mut out, text);
        out
    }

    #[test]
    fn ordinary_values_come_out_as_they_went_in() {
        for text in [
            "10.0.0.7",
            "fd00::10:2",
            "10.0.0.0/24",
            "legacy vms",
            "spiffe://cluster.local/ns/a/sa/b",
            "a_b-c",
        ] {
            assert_eq!(safe(text), text);
        }
    }

    #[test]
    fn separators_and_quotes_are_encoded() {
        assert_eq!(
            safe("a;b,c=d%e\"f'g\\h`"),
            "a%3Bb%2Cc%3Dd%25e%22f%27g%5Ch%60"
        );
        assert_eq!(safe("a\nb\u{7f}\u{e9}"), "a%0Ab%7F%C3%A9");
    }

    #[test]
    fn dots_that_a_stock_regex_would_match_are_encoded() {
        assert_eq!(
            safe("spiffe://cache.example.com/ns/a"),
            "spiffe://cache%2Eexample%2Ecom/ns/a"
        );
        assert_eq!(safe("rbac.allowed"), "rbac%2Eallowed");
        assert_eq!(safe("x.shadow_denied"), "x%2Eshadow_denied");
        assert_eq!(safe("mytag.a"), "mytag%2Ea");
        assert_eq!(safe("cached.example"), "cached.example");
    }
}
