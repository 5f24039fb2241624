//! The maximum number of series of a proxy under attack.
//!
//! The limits are per worker. With C = `maxCallers`, P = 64 ports with their own label, and T = 3 kinds of
//! traffic, a worker has at most:
//!
//! ```text
//! callers      4 C rows           x (connections, last_seen, T x requests)
//! overflow     3 (P + 3) rows     x the same: each kind of peer, each port label, the overflow port exempt or not
//! handshakes   4 C + P + 2 rows   x 1
//! mutual TLS   P + 2 rows         x (connections, requests); with `principals` 4 C + 2 (P + 2) rows
//! ```
//!
//! P + 2 port labels: 64 numbers, `overflow`, and none. Workers may name different callers, so the bound of a proxy is
//! that of a worker times the number of workers, plus three series without a caller: overflow, configuration errors, build.

use std::collections::BTreeSet;

use anyhow::ensure;
use plainsight_harness::exposition::Scrape;

use crate::tally::{CONNECTIONS, HANDSHAKE_FAILURES};

/// The configuration that bounds the series.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Worker threads.
    pub workers: u64,
    /// `maxCallers`.
    pub max_callers: u64,
    /// `principals`.
    pub principals: bool,
}

/// Kinds of peers without mutual TLS.
const PEERS: u64 = 3;
/// Kinds of traffic.
const TRAFFIC: u64 = 3;
/// Rows per name, on average.
const ROWS: u64 = 4;
/// Ports with their own label, per worker.
const PORTS: u64 = 64;

impl Bound {
    /// Max names of one kind over all workers.
    pub fn names(self) -> u64 {
        self.workers * self.max_callers
    }

    /// Max series of all metrics.
    pub fn series(self) -> u64 {
        let rows = ROWS * self.max_callers;
        let port_labels = PORTS + 2;
        let metrics = 2 + TRAFFIC;
        let callers = rows * metrics;
        let overflow = PEERS * (port_labels + 1) * metrics;
        let handshakes = rows + port_labels;
        let mutual_tls = if self.principals {
            (rows + 2 * port_labels) * 2
        } else {
            port_labels * 2
        };
        self.workers * (callers + overflow + handshakes + mutual_tls) + 3
    }

    /// Compares a scrape with the bound: all series, distinct callers, principals and ports. Returns the number of
    /// series.
    ///
    /// # Errors
    /// One of them is exceeded.
    pub fn holds(self, scrape: &Scrape) -> anyhow::Result<u64> {
        let ours = scrape.samples.iter();
        let ours = ours.filter(|sample| sample.name.starts_with("plainsight_"));
        let series = ours.count() as u64;
        let bound = self.series();
        ensure!(
            series <= bound,
            "series: {series}, bound {bound} of {self:?}"
        );
        for (metric, label, most) in [
            (CONNECTIONS, "source_ip", self.names()),
            (CONNECTIONS, "source_principal", self.names()),
            (HANDSHAKE_FAILURES, "source_ip", self.names()),
            (CONNECTIONS, "destination_port", self.workers * PORTS),
        ] {
            let distinct = distinct(scrape, metric, label).len() as u64;
            ensure!(
                distinct <= most,
                "{metric} {label}: {distinct}, bound {most}"
            );
        }
        Ok(series)
    }
}

/// The distinct values of a metric's label, without `overflow`.
pub fn distinct<'s>(scrape: &'s Scrape, metric: &'s str, label: &str) -> BTreeSet<&'s str> {
    scrape
        .matching(metric, &[])
        .filter_map(|sample| sample.label(label))
        .filter(|value| *value != "overflow")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_defaults_is_the_one_in_the_documentation() {
        let bound = |workers, principals| Bound {
            workers,
            max_callers: 1000,
            principals,
        };
        assert_eq!(bound(1, false).series(), 25_206);
        assert_eq!(bound(2, false).series(), 50_409);
        assert_eq!(bound(2, true).series(), 66_673);
    }

    #[test]
    fn one_caller_too_many_is_an_error() {
        let bound = Bound {
            workers: 2,
            max_callers: 1,
            principals: true,
        };
        for metric in [CONNECTIONS, HANDSHAKE_FAILURES] {
            let scrape = |count: u64| {
                let names = (0..count).map(|at| format!("{metric}{{source_ip=\"{at}\"}} 1\n"));
                let overflow = format!("{metric}{{source_ip=\"overflow\"}} 1\n");
                Scrape::parse(&names.chain([overflow]).collect::<String>()).unwrap()
            };
            assert_eq!(bound.holds(&scrape(2)).unwrap(), 3);
            assert!(bound.holds(&scrape(3)).is_err());
        }
    }
}
