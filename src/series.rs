//! The series of a worker: label sets with the ids of their metrics, each defined once.
//!
//! Plaintext is the evidence, so it is counted immediately. Mutual TLS requests are accumulated and flushed on the
//! timer.

use crate::access::Access;
use crate::host::{Host, MetricId};
use crate::labels::{HandshakeLabels, LabelSet, NoLabels, PeerLabels, RequestLabels, TrafficLabel};
use crate::metrics::{
    CONNECTIONS, HANDSHAKE_FAILURES, LAST_SEEN, Metric, OVERFLOW_TOTAL, REQUESTS,
};
use crate::security::ConnectionSecurity;
use crate::traffic::Traffic;
use rustc_hash::FxHashMap;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// The id of a metric that is defined on first use.
#[derive(Debug, Default)]
struct LazyMetric(Cell<Option<MetricId>>);

impl LazyMetric {
    fn id<H: Host, L: LabelSet>(
        &self,
        access: &mut Access<H>,
        metric: Metric<L>,
        labels: &L,
    ) -> Option<MetricId> {
        if self.0.get().is_none() {
            self.0.set(access.define(metric, labels));
        }
        self.0.get()
    }
}

/// The series of one classified peer.
#[derive(Debug)]
pub struct PeerSeries {
    labels: PeerLabels,
    /// The header of a named caller. Empty for overflow, where many callers share one series.
    header: OnceCell<Rc<str>>,
    connections: LazyMetric,
    last_seen: LazyMetric,
    /// Requests without label `traffic`; those below have one of its values each.
    requests: LazyMetric,
    app_requests: LazyMetric,
    probe_requests: LazyMetric,
    scrape_requests: LazyMetric,
    /// Open connections.
    open: Cell<u32>,
    /// Whether there was a connection or a request since the last tick.
    active: Cell<bool>,
    /// Mutual TLS requests that are not flushed yet.
    pending: Cell<i64>,
}

impl PeerSeries {
    fn new(labels: PeerLabels) -> PeerSeries {
        PeerSeries {
            labels,
            header: OnceCell::new(),
            connections: LazyMetric::default(),
            last_seen: LazyMetric::default(),
            requests: LazyMetric::default(),
            app_requests: LazyMetric::default(),
            probe_requests: LazyMetric::default(),
            scrape_requests: LazyMetric::default(),
            open: Cell::new(0),
            active: Cell::new(false),
            pending: Cell::new(0),
        }
    }

    fn is_mutual_tls(&self) -> bool {
        self.labels.peer == ConnectionSecurity::MutualTls
    }

    /// The caller's header, built once unless callers share the series.
    pub fn caller_header(&self, make: impl FnOnce() -> Rc<str>) -> Rc<str> {
        if self.labels.is_overflow() {
            return make();
        }
        Rc::clone(self.header.get_or_init(make))
    }

    /// Marks one connection as closed.
    pub fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.active.set(true);
    }

    /// Counts a mutual TLS request at the next flush.
    pub fn defer_request(&self) {
        self.pending.set(self.pending.get().saturating_add(1));
    }
}

/// All series of this VM.
#[derive(Debug, Default)]
pub struct SeriesRegistry {
    peers: FxHashMap<PeerLabels, Rc<PeerSeries>>,
    handshake_failures: FxHashMap<HandshakeLabels, LazyMetric>,
    overflow: LazyMetric,
}

impl SeriesRegistry {
    /// The series of a peer, if it has one.
    pub fn find(&self, labels: &PeerLabels) -> Option<Rc<PeerSeries>> {
        self.peers.get(labels).map(Rc::clone)
    }

    /// The series of a peer, added if new. Records the last-seen time of a new caller without mutual TLS
    /// immediately, because it is the evidence.
    pub fn find_or_add<H: Host>(
        &mut self,
        access: &mut Access<H>,
        labels: PeerLabels,
    ) -> Rc<PeerSeries> {
        if let Some(series) = self.find(&labels) {
            return series;
        }
        let series = Rc::new(PeerSeries::new(labels.clone()));
        self.peers.insert(labels, Rc::clone(&series));
        if !series.is_mutual_tls()
            && let Some(now) = access.unix_seconds()
        {
            record_last_seen(access, &series, now);
        }
        series
    }

    /// Whether failed handshakes with these labels have a series.
    pub fn has_handshake_failures(&self, labels: &HandshakeLabels) -> bool {
        self.handshake_failures.contains_key(labels)
    }

    /// Defines the overflow counter, so that it is exported as 0.
    pub fn define_overflow<H: Host>(&self, access: &mut Access<H>) {
        self.overflow.id(access, OVERFLOW_TOTAL, &NoLabels);
    }

    /// Counts a connection and marks it as open.
    pub fn count_connection<H: Host>(&self, access: &mut Access<H>, series: &PeerSeries) {
        series.open.set(series.open.get().saturating_add(1));
        series.active.set(true);
        if let Some(id) = series.connections.id(access, CONNECTIONS, &series.labels) {
            access.increment(id, 1);
        }
        self.count_overflow(access, series.labels.is_overflow(), 1);
    }

    /// Counts a request immediately; `traffic` is `None` for mutual TLS.
    pub fn count_request<H: Host>(
        &self,
        access: &mut Access<H>,
        series: &PeerSeries,
        traffic: Option<Traffic>,
    ) {
        series.active.set(true);
        self.count_requests(access, series, traffic, 1);
    }

    fn count_requests<H: Host>(
        &self,
        access: &mut Access<H>,
        series: &PeerSeries,
        traffic: Option<Traffic>,
        by: i64,
    ) {
        let metric = match traffic {
            None => &series.requests,
            Some(Traffic::App) => &series.app_requests,
            Some(Traffic::Probe) => &series.probe_requests,
            Some(Traffic::Scrape) => &series.scrape_requests,
        };
        let labels = RequestLabels {
            peer: &series.labels,
            traffic: TrafficLabel { traffic },
        };
        if let Some(id) = metric.id(access, REQUESTS, &labels) {
            access.increment(id, by);
        }
        self.count_overflow(access, series.labels.is_overflow(), by);
    }

    /// Counts a failed handshake.
    pub fn count_handshake_failure<H: Host>(
        &mut self,
        access: &mut Access<H>,
        labels: &HandshakeLabels,
    ) {
        let metric = match self.handshake_failures.get(labels) {
            Some(metric) => metric,
            None => self.handshake_failures.entry(labels.clone()).or_default(),
        };
        if let Some(id) = metric.id(access, HANDSHAKE_FAILURES, labels) {
            access.increment(id, 1);
        }
        self.count_overflow(access, labels.is_overflow(), 1);
    }

    fn count_overflow<H: Host>(&self, access: &mut Access<H>, is_overflow: bool, by: i64) {
        if is_overflow && let Some(id) = self.overflow.id(access, OVERFLOW_TOTAL, &NoLabels) {
            access.increment(id, by);
        }
    }

    /// Flushes the mutual TLS requests of a peer.
    fn flush<H: Host>(&self, access: &mut Access<H>, series: &PeerSeries) {
        let pending = series.pending.take();
        if pending > 0 {
            self.count_requests(access, series, None, pending);
        }
    }

    /// Handles the timer: flushes pending counts, and refreshes the last-seen time of every caller with an open
    /// connection or a request since the last tick. `now` is `None` if the host failed.
    pub fn tick<H: Host>(&self, access: &mut Access<H>, now: Option<u64>) {
        for series in self.peers.values() {
            if series.is_mutual_tls() {
                self.flush(access, series);
            } else if let Some(now) = now
                && (series.active.take() || series.open.get() > 0)
            {
                record_last_seen(access, series, now);
            }
        }
    }
}

fn record_last_seen<H: Host>(access: &mut Access<H>, series: &PeerSeries, now: u64) {
    if let Some(id) = series.last_seen.id(access, LAST_SEEN, &series.labels) {
        access.record(id, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;
    use crate::host::Status;
    use crate::labels::Port;
    use crate::labels::tests::peer_labels;

    struct Worker {
        registry: SeriesRegistry,
        access: Access<FakeHost>,
        series: Rc<PeerSeries>,
    }

    impl Worker {
        fn new(labels: PeerLabels) -> Worker {
            let mut registry = SeriesRegistry::default();
            let mut access = Access::new(FakeHost::default());
            access.host.seconds = 1_000;
            let series = registry.find_or_add(&mut access, labels);
            Worker {
                registry,
                access,
                series,
            }
        }

        fn sum(&self, metric: &str) -> i64 {
            self.access.host.sum(metric)
        }

        fn tick(&mut self, now: u64) {
            self.registry.tick(&mut self.access, Some(now));
        }
    }

    fn mutual_tls() -> PeerLabels {
        PeerLabels {
            peer: ConnectionSecurity::MutualTls,
            ..peer_labels()
        }
    }

    #[test]
    fn a_metric_is_defined_once() {
        let mut worker = Worker::new(peer_labels());
        for _ in 0..3 {
            let again = worker
                .registry
                .find_or_add(&mut worker.access, peer_labels());
            worker.registry.count_connection(&mut worker.access, &again);
        }
        assert_eq!(worker.sum("plainsight_connections_total"), 3);
        // The second definition is the last-seen gauge.
        assert_eq!(worker.access.host.count("define_metric"), 2);
    }

    #[test]
    fn deferred_requests_are_flushed_once() {
        let mut worker = Worker::new(mutual_tls());
        worker.series.defer_request();
        worker.series.defer_request();
        assert_eq!(worker.access.host.calls, Vec::<&str>::new());
        worker.tick(5);
        worker.tick(6);
        assert_eq!(worker.sum("plainsight_requests_total"), 2);
        assert_eq!(worker.sum("plainsight_last_seen_timestamp_seconds"), 0);
    }

    #[test]
    fn a_caller_is_last_seen_at_the_tick_after_its_last_connection_closed() {
        let mut worker = Worker::new(peer_labels());
        let last_seen = |worker: &Worker| worker.sum("plainsight_last_seen_timestamp_seconds");
        assert_eq!(last_seen(&worker), 1_000, "immediately");
        worker
            .registry
            .count_connection(&mut worker.access, &worker.series);
        for now in [1_010, 1_020] {
            worker.tick(now);
            assert_eq!(last_seen(&worker), now as i64);
        }
        worker.series.closed();
        worker.tick(1_030);
        worker.tick(1_040);
        assert_eq!(last_seen(&worker), 1_030);
    }

    #[test]
    fn overflow_counts_connections_and_requests() {
        let mut worker = Worker::new(PeerLabels {
            destination_port: Some(Port::Overflow),
            ..peer_labels()
        });
        let Worker {
            registry,
            access,
            series,
        } = &mut worker;
        registry.count_connection(access, series);
        registry.count_request(access, series, Some(Traffic::App));
        assert_eq!(worker.sum("plainsight_overflow_total"), 2);
    }

    #[test]
    fn a_failed_definition_is_an_error_and_retried() {
        let mut worker = Worker::new(peer_labels());
        worker.access.host.fail("define_metric", Status(12));
        worker
            .registry
            .count_connection(&mut worker.access, &worker.series);
        worker.access.host.succeed("define_metric");
        worker
            .registry
            .count_connection(&mut worker.access, &worker.series);
        assert_eq!(worker.sum("plainsight_connections_total"), 1);
    }
}
