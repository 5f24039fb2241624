//! What went wrong with the host: every case counted, each kind told once in the log.

use crate::host::{Host, Level, MetricId, Status};
use crate::metrics::Metric;

/// Counts and tells host errors. The log gets one line for each value's name and VM, so that a broken host cannot
/// flood it; `plainsight_attribute_errors_total` counts them all.
#[derive(Debug, Default)]
pub struct Trouble {
    metric: Option<MetricId>,
    /// Errors not counted yet, because the host refused the metric too.
    owed: i64,
    told: Vec<&'static str>,
}

impl Trouble {
    /// Makes the counter visible at 0.
    pub fn define(&mut self, host: &mut impl Host) {
        if self.metric.is_none() {
            let definition = Metric::AttributeErrors.definition();
            self.metric = host.define_metric(definition.kind, definition.name).ok();
        }
    }

    /// The host refused a call.
    pub fn refused(&mut self, host: &mut impl Host, what: &'static str, status: Status) {
        self.count(host, what, |line| {
            line.push_str("the host answered status ");
            push_number(line, status.0);
        });
    }

    /// The host gave bytes that cannot be what was asked for.
    pub fn undecodable(
        &mut self,
        host: &mut impl Host,
        what: &'static str,
        wanted: &str,
        came: usize,
    ) {
        self.count(host, what, |line| {
            line.push_str("not ");
            line.push_str(wanted);
            line.push_str(": ");
            push_number(line, u32::try_from(came).unwrap_or(u32::MAX));
            line.push_str(" bytes");
        });
    }

    fn count(&mut self, host: &mut impl Host, what: &'static str, tell: impl FnOnce(&mut String)) {
        self.owed = self.owed.saturating_add(1);
        self.define(host);
        if let Some(metric) = self.metric
            && host.increment_metric(metric, self.owed).is_ok()
        {
            self.owed = 0;
        }
        if !self.told.contains(&what) {
            self.told.push(what);
            let mut line = String::from("plainsight: ");
            line.push_str(what);
            line.push_str(": ");
            tell(&mut line);
            line.push_str(" (told once, counted in plainsight_attribute_errors_total)");
            host.log(Level::Error, &line);
        }
    }
}

/// Appends a number; the formatting machinery costs more than it is worth here.
pub fn push_number(into: &mut String, number: impl Into<u64>) {
    push_digits(into, number.into());
}

fn push_digits(into: &mut String, number: u64) {
    if let Some(rest) = number.checked_div(10).filter(|rest| *rest > 0) {
        push_digits(into, rest);
    }
    let digit = u32::try_from(number.rem_euclid(10)).unwrap_or(0);
    into.push(char::from_digit(digit, 10).unwrap_or('0'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 8080, 65_535, 1_000_000_000, u64::MAX] {
            let mut out = String::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }

    #[test]
    fn every_error_is_counted_and_each_kind_is_told_once() {
        let mut host = FakeHost::default();
        let mut trouble = Trouble::default();
        trouble.refused(&mut host, "connection.id", Status(11));
        trouble.refused(&mut host, "connection.id", Status(11));
        trouble.undecodable(&mut host, "connection.mtls", "one byte", 3);
        assert_eq!(host.value("plainsight_attribute_errors_total"), 3);
        assert_eq!(
            host.log,
            [
                "plainsight: connection.id: the host answered status 11 (told once, counted in plainsight_attribute_errors_total)",
                "plainsight: connection.mtls: not one byte: 3 bytes (told once, counted in plainsight_attribute_errors_total)",
            ]
        );
    }

    #[test]
    fn errors_that_could_not_be_counted_are_counted_later() {
        let mut host = FakeHost::default();
        let mut trouble = Trouble::default();
        host.fail("define_metric", Status(12));
        trouble.refused(&mut host, "a", Status(2));
        host.succeed("define_metric");
        trouble.refused(&mut host, "b", Status(2));
        assert_eq!(host.value("plainsight_attribute_errors_total"), 2);
    }
}
