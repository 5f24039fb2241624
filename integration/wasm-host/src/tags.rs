//! Envoy's tag extraction from stat names, and the resulting Prometheus metrics.
//!
//! Every regex searches the whole original name once; group 1 is removed from the name, group 2 (or group 1 without it) is
//! the tag's value. A regex that begins with a literal first token, `^token\.`, is tried only on names with that token, after
//! the others: <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/common/stats/tag_producer_impl.cc> and
//! <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/common/stats/tag_extractor_impl.cc>.

use std::collections::HashMap;

use anyhow::{Context, Result};
use fancy_regex::Regex;

const STOCK_TAGS: &str = include_str!("../../harness/src/shapes/stock_tags.json");

/// The prefix of Wasm metrics in Envoy, which is removed for Prometheus.
const NAMESPACE: &str = "wasmcustom.";

/// A metric as Prometheus scrapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The name without the tags.
    pub name: String,
    /// Tags in the order of the regexes that matched; a name can occur twice.
    pub labels: Vec<(String, String)>,
}

impl Exposed {
    /// The value of the label, `None` if absent.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// The labels packed in label `tag`, `None` without that label.
    ///
    /// Values contain no `,` or `=`: the filter percent-encodes both.
    pub fn unpacked(&self) -> Option<Vec<(String, String)>> {
        let pairs = self.label("tag")?.split(',').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Some(pairs.collect())
    }
}

/// The regexes of a sidecar's bootstrap.
pub struct TagRegexes {
    regexes: Vec<(String, Regex)>,
}

impl TagRegexes {
    /// The list of Istio's stock bootstrap, `stock_tags.json` of the harness.
    ///
    /// # Errors
    ///
    /// An entry without a name or a valid regex.
    pub fn stock() -> Result<Self> {
        let list: Vec<HashMap<String, String>> = serde_json::from_str(STOCK_TAGS)?;
        let regexes = list.iter().map(|tag| {
            let (name, regex) = (&tag["tag_name"], &tag["regex"]);
            let regex = Regex::new(&rust_syntax(regex))
                .with_context(|| format!("stock_tags.json: {name}: not a regex: {regex}"))?;
            Ok((name.clone(), regex))
        });
        Ok(Self {
            regexes: regexes.collect::<Result<_>>()?,
        })
    }

    /// The exposed form of the Wasm metric that the filter defined as `defined`.
    ///
    /// # Errors
    ///
    /// A regex that gave up.
    pub fn expose(&self, defined: &str) -> Result<Exposed> {
        let full = format!("{NAMESPACE}{defined}");
        let mut labels = Vec::new();
        let mut kept = vec![true; full.len()];
        for (name, regex) in &self.regexes {
            let Some(found) = regex.captures(&full)? else {
                continue;
            };
            let Some(removed) = found.get(1) else {
                continue;
            };
            let value = found.get(2).unwrap_or(removed);
            labels.push((name.clone(), value.as_str().to_owned()));
            kept[removed.range()].fill(false);
        }
        let bytes = full.bytes().zip(&kept);
        let left = bytes.filter(|(_, kept)| **kept).map(|(byte, _)| byte);
        let left = String::from_utf8(left.collect()).context("name: cut inside a character")?;
        let name = left.strip_prefix(NAMESPACE).unwrap_or(&left).to_owned();
        Ok(Exposed { name, labels })
    }
}

/// Converts the regex to Rust syntax: ECMAScript allows `[:digit:]` inside classes, and needs no escape there for `[`.
fn rust_syntax(regex: &str) -> String {
    regex.replace("[:digit:]", "0-9")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_exposed_as_measured_on_a_real_envoy() {
        let stock = TagRegexes::stock().unwrap();
        assert_eq!(stock.regexes.len(), 16);
        let metric = "tag.peer=plaintext,source_ip=fd00::10:2,destination_port=8080;.plainsight_requests_total";
        let exposed = stock.expose(metric).unwrap();
        assert_eq!(exposed.name, "plainsight_requests_total");
        let value = "peer=plaintext,source_ip=fd00::10:2,destination_port=8080";
        assert_eq!(exposed.labels, [("tag".to_owned(), value.to_owned())]);
    }

    #[test]
    fn unanchored_regexes_find_labels_inside_unencoded_values() {
        let stock = TagRegexes::stock().unwrap();
        let exposed = stock
            .expose("tag.source_principal=spiffe://cache.foo.bar/rbac.allowed;.name")
            .unwrap();
        assert_eq!(exposed.label("cache"), Some("foo"));
        assert_eq!(exposed.label("authz_enforce_result"), Some("allowed"));
    }

    #[test]
    fn the_anchored_regexes_match_their_own_stats() {
        let stock = TagRegexes::stock().unwrap();
        for (pattern, name) in [
            ("cluster_name", "cluster.outbound|80||web;.x"),
            ("http_conn_manager_prefix", "http.inbound_0.0.0.0_80;.x"),
            ("listener_address", "listener.0.0.0.0_80.x"),
            (
                "http_conn_manager_listener_prefix",
                "listener.a.http.10_0.x",
            ),
            ("mongo_prefix", "mongo.a.cx_b"),
        ] {
            let (_, regex) = stock
                .regexes
                .iter()
                .find(|(held, _)| held == pattern)
                .unwrap();
            assert!(regex.is_match(name).unwrap(), "{pattern}: {name}");
        }
    }
}
