//! Series: sets of labels with the ids of their metrics, each defined once per VM.
//!
//! Plaintext is the evidence, so it is counted at once. Mutual TLS requests are added up here and
//! handed over on the timer and at the end of their connection.

use crate::hashing::Map;
use crate::host::{Host, MetricId};
use crate::metrics::{Label, LabelForm, Metric};
use crate::property::Access;
use crate::traffic::Traffic;
use std::rc::Rc;

/// A series' place in [`SeriesBook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesId(usize);

/// What a series is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Mutual TLS peers of a port.
    MutualTls,
    /// A caller without mutual TLS.
    Caller,
    /// Failed handshakes of a caller.
    Handshakes,
    /// What a caller claims to be.
    Claim,
}

/// The metrics that one set of labels has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `plainsight_connections_total`.
    Connections,
    /// `plainsight_active_connections`.
    Active,
    /// `plainsight_last_seen_timestamp_seconds`.
    LastSeen,
    /// `plainsight_requests_total`, without label `traffic`.
    MutualTlsRequests,
    /// `plainsight_requests_total` of a kind of traffic.
    Requests(Traffic),
    /// `plainsight_handshake_failures_total`.
    HandshakeFailures,
    /// `plainsight_caller_claims`.
    Claims,
}

impl Part {
    /// A series has at most so many metrics.
    const COUNT: usize = 5 + Traffic::COUNT;

    fn place(self) -> usize {
        match self {
            Part::Connections | Part::Claims => 0,
            Part::Active => 1,
            Part::LastSeen => 2,
            Part::MutualTlsRequests => 3,
            Part::HandshakeFailures => 4,
            Part::Requests(Traffic::App) => 5,
            Part::Requests(Traffic::Probe) => 6,
            Part::Requests(Traffic::Scrape) => 7,
        }
    }

    fn metric(self) -> Metric {
        match self {
            Part::Connections => Metric::Connections,
            Part::Active => Metric::ActiveConnections,
            Part::LastSeen => Metric::LastSeen,
            Part::MutualTlsRequests | Part::Requests(_) => Metric::Requests,
            Part::HandshakeFailures => Metric::HandshakeFailures,
            Part::Claims => Metric::CallerClaims,
        }
    }
}

/// One set of labels.
#[derive(Debug)]
pub struct Series {
    labels: Rc<str>,
    form: LabelForm,
    subject: Subject,
    /// Empty where the series is not of one caller.
    source_ip: Box<str>,
    /// A label of it reads `overflow`.
    overflow: bool,
    ids: [Option<MetricId>; Part::COUNT],
    /// Connections of this worker that are open now.
    open: u32,
    /// A caller was there since the last tick.
    seen: bool,
    /// Mutual TLS requests not handed over yet.
    pending: i64,
}

impl Series {
    /// The caller's label `source_ip`; empty where the series is not of one caller.
    pub fn source_ip(&self) -> &str {
        &self.source_ip
    }

    /// Whether what counts here counts as overflow.
    pub fn is_overflow(&self) -> bool {
        self.overflow
    }
}

/// All series of this VM. What was admitted stays, as it does in Envoy.
#[derive(Debug, Default)]
pub struct SeriesBook {
    all: Vec<Series>,
    by_labels: Map<Rc<str>, SeriesId>,
    overflow: Option<MetricId>,
    /// Whether any series has requests pending.
    pending: bool,
}

impl SeriesBook {
    /// The series of these labels, as they stand in the metric's name.
    pub fn find(&self, labels: &str) -> Option<SeriesId> {
        self.by_labels.get(labels).copied()
    }

    /// Takes a new series in; `source_ip` is empty where it is not of one caller.
    pub fn add(
        &mut self,
        labels: &str,
        form: LabelForm,
        subject: Subject,
        source_ip: &str,
        overflow: bool,
    ) -> SeriesId {
        if let Some(id) = self.find(labels) {
            return id;
        }
        let labels: Rc<str> = labels.into();
        let id = SeriesId(self.all.len());
        self.by_labels.insert(Rc::clone(&labels), id);
        self.all.push(Series {
            labels,
            form,
            subject,
            source_ip: source_ip.into(),
            overflow,
            ids: [None; Part::COUNT],
            open: 0,
            seen: false,
            pending: 0,
        });
        id
    }

    /// A series.
    pub fn get(&self, id: SeriesId) -> Option<&Series> {
        self.all.get(id.0)
    }

    /// Makes the overflow counter visible at 0.
    pub fn define_overflow<H: Host>(&mut self, access: &mut Access<H>) -> Option<MetricId> {
        if self.overflow.is_none() {
            let definition = Metric::Overflow.definition();
            let defined = access.host.define_metric(definition.kind, definition.name);
            self.overflow = access.granted("define a metric", defined);
        }
        self.overflow
    }

    /// Whether requests of the series' caller were counted.
    pub fn has_requests(&self, id: SeriesId) -> bool {
        let kinds = [Traffic::App, Traffic::Probe, Traffic::Scrape];
        self.all.get(id.0).is_some_and(|series| {
            let ids = kinds.map(|kind| series.ids.get(Part::Requests(kind).place()));
            ids.iter().any(|id| matches!(id, Some(Some(_))))
        })
    }

    /// Adds to a counter or a gauge of a series; also to the overflow, where the series is one and `part`
    /// counts conversations.
    pub fn add_to<H: Host>(&mut self, access: &mut Access<H>, id: SeriesId, part: Part, by: i64) {
        let Some(series) = self.all.get_mut(id.0) else {
            return;
        };
        let overflow = series.overflow
            && matches!(
                part,
                Part::Connections
                    | Part::Requests(_)
                    | Part::MutualTlsRequests
                    | Part::HandshakeFailures
            );
        if let Some(metric) = series.metric(access, part) {
            let outcome = access.host.increment_metric(metric, by);
            access.granted("increment a metric", outcome);
        }
        if overflow && let Some(metric) = self.define_overflow(access) {
            let outcome = access.host.increment_metric(metric, by);
            access.granted("increment a metric", outcome);
        }
    }

    /// Sets a gauge of a series.
    pub fn record<H: Host>(
        &mut self,
        access: &mut Access<H>,
        id: SeriesId,
        part: Part,
        value: u64,
    ) {
        if let Some(series) = self.all.get_mut(id.0)
            && let Some(metric) = series.metric(access, part)
        {
            let outcome = access.host.record_metric(metric, value);
            access.granted("record a metric", outcome);
        }
    }

    /// A caller is there: its time is recorded on the next tick.
    pub fn seen(&mut self, id: SeriesId) {
        if let Some(series) = self.all.get_mut(id.0) {
            series.seen = true;
        }
    }

    /// A connection opened (`true`) or ended.
    pub fn opened(&mut self, id: SeriesId, opened: bool) {
        if let Some(series) = self.all.get_mut(id.0) {
            series.seen = true;
            series.open = if opened {
                series.open.saturating_add(1)
            } else {
                series.open.saturating_sub(1)
            };
        }
    }

    /// A mutual TLS request, to be handed over later.
    pub fn owe_request(&mut self, id: SeriesId) {
        if let Some(series) = self.all.get_mut(id.0) {
            series.pending = series.pending.saturating_add(1);
            self.pending = true;
        }
    }

    /// Hands over the pending requests of a series.
    pub fn settle<H: Host>(&mut self, access: &mut Access<H>, id: SeriesId) {
        let pending = self
            .all
            .get_mut(id.0)
            .map_or(0, |series| std::mem::take(&mut series.pending));
        if pending > 0 {
            self.add_to(access, id, Part::MutualTlsRequests, pending);
        }
    }

    /// The timer: hands over what is pending, and records the time of every caller who is or was there.
    pub fn tick<H: Host>(&mut self, access: &mut Access<H>, now: Option<u64>) {
        let pending = std::mem::take(&mut self.pending);
        for at in 0..self.all.len() {
            let id = SeriesId(at);
            if pending {
                self.settle(access, id);
            }
            let Some(series) = self.all.get_mut(at) else {
                continue;
            };
            if let Some(now) = now
                && series.subject == Subject::Caller
                && (series.open > 0 || series.seen)
            {
                series.seen = false;
                self.record(access, id, Part::LastSeen, now);
            }
        }
    }
}

impl Series {
    /// The id of a part's metric, defined when it is first needed.
    fn metric<H: Host>(&mut self, access: &mut Access<H>, part: Part) -> Option<MetricId> {
        let place = part.place();
        if let Some(Some(id)) = self.ids.get(place) {
            return Some(*id);
        }
        let mut name = String::from(&*self.labels);
        if let Part::Requests(traffic) = part {
            self.form.push(&mut name, Label::Traffic, traffic.as_str());
        }
        self.form.finish(&mut name, part.metric());
        let defined = access
            .host
            .define_metric(part.metric().definition().kind, &name);
        let id = access.granted("define a metric", defined)?;
        if let Some(held) = self.ids.get_mut(place) {
            *held = Some(id);
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;
    use crate::host::Status;

    fn book(subject: Subject, overflow: bool) -> (SeriesBook, SeriesId, Access<FakeHost>) {
        let mut book = SeriesBook::default();
        let id = book.add("tag.peer=p", LabelForm::Stock, subject, "", overflow);
        (book, id, Access::new(FakeHost::default()))
    }

    #[test]
    fn a_metric_is_defined_once() {
        let (mut book, id, mut access) = book(Subject::Caller, false);
        for _ in 0..3 {
            book.add_to(&mut access, id, Part::Connections, 1);
        }
        assert_eq!(
            access
                .host
                .value("tag.peer=p;.plainsight_connections_total"),
            3
        );
        assert_eq!(
            access
                .host
                .calls
                .iter()
                .filter(|call| **call == "define_metric")
                .count(),
            1
        );
    }

    #[test]
    fn traffic_is_the_last_label_of_requests() {
        let (mut book, id, mut access) = book(Subject::Caller, false);
        book.add_to(&mut access, id, Part::Requests(Traffic::Probe), 1);
        assert_eq!(
            access
                .host
                .value("tag.peer=p,traffic=probe;.plainsight_requests_total"),
            1
        );
    }

    #[test]
    fn pending_requests_are_handed_over_once() {
        let (mut book, id, mut access) = book(Subject::MutualTls, false);
        book.owe_request(id);
        book.owe_request(id);
        assert_eq!(access.host.calls, Vec::<&str>::new());
        book.tick(&mut access, Some(5));
        book.tick(&mut access, Some(6));
        assert_eq!(
            access.host.value("tag.peer=p;.plainsight_requests_total"),
            2
        );
        assert_eq!(access.host.metrics_with("last_seen"), []);
    }

    #[test]
    fn an_open_connection_is_seen_on_every_tick_and_a_closed_one_once_more() {
        let (mut book, id, mut access) = book(Subject::Caller, false);
        let seen = "tag.peer=p;.plainsight_last_seen_timestamp_seconds";
        book.opened(id, true);
        for now in [10, 20] {
            book.tick(&mut access, Some(now));
            assert_eq!(access.host.value(seen), now as i64);
        }
        book.opened(id, false);
        book.tick(&mut access, Some(30));
        book.tick(&mut access, Some(40));
        assert_eq!(access.host.value(seen), 30);
    }

    #[test]
    fn overflow_counts_conversations_and_no_gauges() {
        let (mut book, id, mut access) = book(Subject::Caller, true);
        book.add_to(&mut access, id, Part::Connections, 1);
        book.add_to(&mut access, id, Part::Active, 1);
        book.add_to(&mut access, id, Part::Requests(Traffic::App), 1);
        assert_eq!(access.host.value("plainsight_overflow_total"), 2);
    }

    #[test]
    fn a_refused_metric_is_counted_as_an_error_and_tried_again() {
        let (mut book, id, mut access) = book(Subject::Caller, false);
        access.host.fail("define_metric", Status(12));
        book.add_to(&mut access, id, Part::Connections, 1);
        access.host.succeed("define_metric");
        book.add_to(&mut access, id, Part::Connections, 1);
        access.trouble.refused(&mut access.host, "x", Status(2));
        assert_eq!(
            access
                .host
                .value("tag.peer=p;.plainsight_connections_total"),
            1
        );
        assert_eq!(access.host.value("plainsight_attribute_errors_total"), 2);
    }
}
