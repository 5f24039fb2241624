//! Encodes untrusted label values so that they are safe in a metric's name.
//!
//! Envoy extracts labels from a metric's name with unanchored regexes. So a value must not contain a separator or
//! text that one of Istio's stock regexes matches
//! (<https://github.com/istio/istio/blob/master/tools/packaging/common/envoy_bootstrap.json>,
//! <https://github.com/istio/istio/blob/master/pkg/bootstrap/config.go>).

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Label separators, characters that Prometheus' text format escapes, and the percent sign.
const SEPARATORS: &AsciiSet = &CONTROLS
    .add(b';')
    .add(b',')
    .add(b'=')
    .add(b'%')
    .add(b'"')
    .add(b'\'')
    .add(b'`')
    .add(b'\\');

const SEPARATORS_AND_DOTS: &AsciiSet = &SEPARATORS.add(b'.');

/// The literal prefixes of the stock regexes that could match inside a value. The other regexes are anchored.
const STOCK_REGEXES: [&str; 7] = [
    "cache.",
    "component.",
    "tag.",
    "wasm_filter.",
    "rbac.",
    ".istio_dry_run_",
    ".shadow_",
];

/// Appends `text`, with separators percent-encoded, and its dots too if a stock regex could match.
pub fn push_encoded(into: &mut String, text: &str) {
    let contains = |begin: &&str| {
        let mut windows = text.as_bytes().windows(begin.len());
        windows.any(|window| window == begin.as_bytes())
    };
    let matches = STOCK_REGEXES.iter().any(contains);
    let set = if matches {
        SEPARATORS_AND_DOTS
    } else {
        SEPARATORS
    };
    into.extend(utf8_percent_encode(text, set));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        let mut out = String::new();
        push_encoded(&mut out, text);
        out
    }

    #[test]
    fn ordinary_values_are_unchanged() {
        for text in [
            "10.0.0.7",
            "fd00::10:2",
            "10.0.0.0/24",
            "legacy vms",
            "spiffe://cluster.local/ns/a/sa/b",
            "a_b-c",
        ] {
            assert_eq!(encoded(text), text);
        }
    }

    #[test]
    fn separators_quotes_and_unprintable_characters_are_encoded() {
        assert_eq!(
            encoded("a;b,c=d%e\"f'g\\h`"),
            "a%3Bb%2Cc%3Dd%25e%22f%27g%5Ch%60"
        );
        assert_eq!(encoded("a\nb\u{7f}\u{e9}"), "a%0Ab%7F%C3%A9");
    }

    #[test]
    fn dots_that_a_stock_regex_would_match_are_encoded() {
        assert_eq!(
            encoded("spiffe://cache.example.com/ns/a"),
            "spiffe://cache%2Eexample%2Ecom/ns/a"
        );
        assert_eq!(encoded("rbac.allowed"), "rbac%2Eallowed");
        assert_eq!(encoded("x.shadow_denied"), "x%2Eshadow_denied");
        assert_eq!(encoded("mytag.a"), "mytag%2Ea");
        assert_eq!(encoded("cached.example"), "cached.example");
    }
}
