//! How many series a proxy can have, whatever callers do.
//!
//! With C = `maxCallers` of one configuration, P = 64 ports with their own label, and T = 3 kinds of traffic:
//!
//! ```text
//! callers      4 C rows            x (connections, active, last_seen, T x requests)
//! overflow     3 (P + 3) rows      x the same: each kind of peer, each port label, the overflow port twice (exempt or not)
//! handshakes   P + 2               of the overflow; those of callers are among the 4 C rows
//! mutual TLS   (P + 2) rows        x (connections, requests); with `principals` 4 C + 2 (P + 2) rows
//! claims       C
//! the rest     4                   overflow, attribute errors, config errors, build info
//! ```
//!
//! P + 2 port labels: 64 numbers, `overflow`, and none.

use std::collections::BTreeSet;

use anyhow::ensure;
use plainsight::census::{MOST_PORTS, SERIES_PER_CALLER};
use plainsight::traffic::Traffic;
use plainsight_integration::exposition::Scrape;

/// The configuration that bounds the series.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// `maxCallers`.
    pub max_callers: u64,
    /// `principals`.
    pub principals: bool,
}

/// Kinds of peers without mutual TLS.
const PEERS: u64 = 3;

impl Bound {
    /// The most series of all metrics together.
    pub fn series(self) -> u64 {
        let Self {
            max_callers,
            principals,
        } = self;
        let rows = u64::from(SERIES_PER_CALLER) * max_callers;
        let port_labels = u64::from(MOST_PORTS) + 2;
        let metrics = 3 + Traffic::COUNT as u64;
        let callers = rows * metrics;
        let overflow = PEERS * (port_labels + 1) * metrics;
        let handshakes = port_labels;
        let mutual_tls = if principals {
            (rows + 2 * port_labels) * 2
        } else {
            port_labels * 2
        };
        callers + overflow + handshakes + mutual_tls + max_callers + 4
    }

    /// Holds a scrape against the bound: all series, distinct callers, distinct principals, distinct ports.
    /// Gives the number of series.
    ///
    /// # Errors
    /// One of them is exceeded.
    pub fn holds(self, scrape: &Scrape) -> anyhow::Result<u64> {
        let ours = scrape.samples.iter();
        let ours = ours.filter(|sample| sample.name.starts_with("plainsight_"));
        let series = ours.count() as u64;
        ensure!(
            series <= self.series(),
            "series: {series}, bound {} of {self:?}",
            self.series()
        );
        for (label, most) in [
            ("source_ip", self.max_callers),
            ("source_principal", self.max_callers),
            ("destination_port", u64::from(MOST_PORTS)),
        ] {
            let distinct = distinct(scrape, label).len() as u64;
            ensure!(distinct <= most, "{label}: {distinct}, bound {most}");
        }
        Ok(series)
    }
}

/// The distinct values of a label, `overflow` left out.
pub fn distinct<'s>(scrape: &'s Scrape, label: &str) -> BTreeSet<&'s str> {
    scrape
        .samples
        .iter()
        .filter_map(|sample| sample.label(label))
        .filter(|value| *value != "overflow")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_defaults_is_what_the_documentation_says() {
        let bound = |principals| Bound {
            max_callers: 1000,
            principals,
        };
        assert_eq!(bound(false).series(), 26_408);
        assert_eq!(bound(true).series(), 34_540);
    }

    #[test]
    fn one_caller_or_port_too_many_is_an_error() {
        let bound = Bound {
            max_callers: 2,
            principals: true,
        };
        for (label, most) in [("source_ip", 2), ("source_principal", 2)] {
            let text = |count| -> String {
                (0..count)
                    .map(|at| format!("plainsight_x{{{label}=\"{at}\"}} 1\n"))
                    .chain([format!("plainsight_x{{{label}=\"overflow\"}} 1\n")])
                    .collect()
            };
            let scrape = |count| Scrape::parse(&text(count)).unwrap();
            assert_eq!(bound.holds(&scrape(most)).unwrap(), most + 1);
            assert!(bound.holds(&scrape(most + 1)).is_err());
        }
    }
}
