//! The calls made by the load, compared with the counts of plainsight.

use std::ops::AddAssign;

use anyhow::ensure;
use plainsight_harness::exposition::Scrape;

/// `plainsight_connections_total`.
pub const CONNECTIONS: &str = "plainsight_connections_total";
/// `plainsight_requests_total`.
pub const REQUESTS: &str = "plainsight_requests_total";
/// `plainsight_handshake_failures_total`.
pub const HANDSHAKE_FAILURES: &str = "plainsight_handshake_failures_total";
/// `plainsight_overflow_total`.
pub const OVERFLOW: &str = "plainsight_overflow_total";

/// Connections and requests of one kind of peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that sent data.
    pub connections: u64,
    /// Answered requests.
    pub requests: u64,
}

/// Calls made, by kind of peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Peers without TLS.
    pub plaintext: Counts,
    /// Peers with a certificate of the mesh.
    pub mutual_tls: Counts,
    /// Peers whose TLS is terminated by the application.
    pub tls_passthrough: Counts,
    /// Handshakes without a certificate.
    pub handshake_failures: u64,
    /// Connections that end before anything can be counted.
    pub silent: u64,
    /// Pipelined requests that Envoy left unanswered when it closed the connection, plaintext and mutual TLS: Envoy may
    /// have read them or not.
    pub cut: [u64; 2],
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.requests += other.requests;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.plaintext += other.plaintext;
        self.mutual_tls += other.mutual_tls;
        self.tls_passthrough += other.tls_passthrough;
        self.handshake_failures += other.handshake_failures;
        self.silent += other.silent;
        self.cut[0] += other.cut[0];
        self.cut[1] += other.cut[1];
    }
}

impl Tally {
    /// Moves requests that Envoy left unanswered from the exact counts to the uncertain ones.
    pub fn cut_short(&mut self, mutual_tls: bool, unanswered: u64) {
        let counts = if mutual_tls {
            &mut self.mutual_tls
        } else {
            &mut self.plaintext
        };
        counts.requests -= unanswered;
        self.cut[usize::from(mutual_tls)] += unanswered;
    }

    /// Settles the uncertain requests of [`Tally::cut`] by plainsight's counts.
    pub fn settle(&mut self, scrape: &Scrape) {
        for (peer, counts, cut) in [
            ("plaintext", &mut self.plaintext, self.cut[0]),
            ("mutual_tls", &mut self.mutual_tls, self.cut[1]),
        ] {
            let counted = scrape.sum(REQUESTS, &[("peer", peer)]) as u64;
            counts.requests = counted.clamp(counts.requests, counts.requests + cut);
        }
        self.cut = [0; 2];
    }

    /// TCP connections of any kind.
    pub fn opened(&self) -> u64 {
        self.plaintext.connections
            + self.mutual_tls.connections
            + self.tls_passthrough.connections
            + self.handshake_failures
            + self.silent
    }

    /// Requests of any kind.
    pub fn requests(&self) -> u64 {
        self.plaintext.requests + self.mutual_tls.requests + self.tls_passthrough.requests
    }

    /// Compares every counter exactly.
    ///
    /// # Errors
    /// A counter differs: its name, its value and the expected value.
    pub fn matches(&self, scrape: &Scrape) -> anyhow::Result<()> {
        for (peer, done, cut) in [
            ("plaintext", self.plaintext, self.cut[0]),
            ("mutual_tls", self.mutual_tls, self.cut[1]),
            ("tls_passthrough", self.tls_passthrough, 0),
            ("tls_no_client_cert", Counts::default(), 0),
        ] {
            equal(scrape, CONNECTIONS, &[("peer", peer)], done.connections)?;
            let counted = scrape.sum(REQUESTS, &[("peer", peer)]) as u64;
            let within = counted.clamp(done.requests, done.requests + cut);
            equal(scrape, REQUESTS, &[("peer", peer)], within)?;
        }
        equal(scrape, HANDSHAKE_FAILURES, &[], self.handshake_failures)?;
        equal(scrape, "plainsight_attribute_errors_total", &[], 0)
    }
}

/// Compares the sum of a metric with an exact count.
///
/// # Errors
/// They differ.
pub fn equal(
    scrape: &Scrape,
    metric: &str,
    labels: &[(&str, &str)],
    done: u64,
) -> anyhow::Result<()> {
    let counted = scrape.sum(metric, labels);
    ensure!(
        counted == done as f64,
        "{metric}{labels:?}: counted {counted}, done {done}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Tally {
        Tally {
            plaintext: Counts {
                connections: 2,
                requests: 7,
            },
            ..Tally::default()
        }
    }

    fn counted(requests: u32) -> Scrape {
        Scrape::parse(&format!(
            "{CONNECTIONS}{{tag=\"peer=plaintext\"}} 2\n\
             {REQUESTS}{{tag=\"peer=plaintext\"}} {requests}\n"
        ))
        .unwrap()
    }

    #[test]
    fn the_same_counts_match() {
        done().matches(&counted(7)).unwrap();
    }

    #[test]
    fn one_request_too_many_or_too_few_is_an_error() {
        for requests in [6, 8] {
            let error = done().matches(&counted(requests)).unwrap_err();
            assert!(error.to_string().contains("done 7"), "{error}");
        }
    }

    #[test]
    fn only_requests_that_envoy_left_unanswered_may_be_counted_or_not() {
        let mut done = done();
        done.cut_short(false, 2);
        for requests in [5, 6, 7] {
            done.matches(&counted(requests)).unwrap();
        }
        for requests in [4, 8] {
            assert!(done.matches(&counted(requests)).is_err());
        }
        done.settle(&counted(6));
        done.matches(&counted(6)).unwrap();
        assert!(done.matches(&counted(7)).is_err());
    }

    #[test]
    fn counts_of_a_peer_that_made_no_calls_are_an_error() {
        let mut scrape = counted(7);
        let stray = Scrape::parse(&format!("{CONNECTIONS}{{tag=\"peer=mutual_tls\"}} 1\n"));
        scrape.samples.extend(stray.unwrap().samples);
        assert!(done().matches(&scrape).is_err());
    }
}
