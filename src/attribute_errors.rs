//! Host errors: counts all in `plainsight_attribute_errors_total` and logs the first of each attribute.

use crate::attribute::Attribute;
use crate::host::{Host, MetricId};
use crate::labels::AttributeLabels;
use crate::metrics::ATTRIBUTE_ERRORS;

/// One attribute's errors in this VM.
#[derive(Debug)]
struct Counter {
    name: &'static str,
    metric: Option<MetricId>,
    /// Errors not counted yet, because the host failed to count them.
    uncounted: i64,
}

/// The errors of this VM by attribute. Attributes are a closed set, so a broken host cannot flood log or metrics.
#[derive(Debug, Default)]
pub struct AttributeErrors {
    counters: Vec<Counter>,
}

impl AttributeErrors {
    /// Counts an error, and logs it if it is the attribute's first.
    pub fn record(
        &mut self,
        host: &mut impl Host,
        attribute: Attribute,
        problem: std::fmt::Arguments<'_>,
    ) {
        let name = attribute.name;
        if !self.counters.iter().any(|counter| counter.name == name) {
            log::error!("{name}: {problem} (further errors are only counted)");
            self.counters.push(Counter {
                name,
                metric: None,
                uncounted: 0,
            });
        }
        for counter in self
            .counters
            .iter_mut()
            .filter(|counter| counter.name == name)
        {
            counter.uncounted = counter.uncounted.saturating_add(1);
            if counter.metric.is_none() {
                let labels = AttributeLabels { attribute: name };
                counter.metric = ATTRIBUTE_ERRORS.define(host, &labels).ok();
            }
            if let Some(metric) = counter.metric
                && host.increment_metric(metric, counter.uncounted).is_ok()
            {
                counter.uncounted = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::{FakeHost, capture_log, logged};
    use crate::host::Status;

    #[test]
    fn every_error_is_counted_and_the_first_of_an_attribute_is_logged() {
        capture_log();
        let mut host = FakeHost::default();
        let mut errors = AttributeErrors::default();
        for status in [11, 12] {
            let problem = format_args!("host status {status}");
            errors.record(&mut host, Attribute::TIME, problem);
        }
        errors.record(&mut host, Attribute::TIMER, format_args!("host status 2"));
        assert_eq!(host.attribute_errors(Attribute::TIME), 2);
        assert_eq!(host.attribute_errors(Attribute::TIMER), 1);
        assert_eq!(
            logged(),
            [
                "ERROR time: host status 11 (further errors are only counted)",
                "ERROR timer: host status 2 (further errors are only counted)",
            ]
        );
    }

    #[test]
    fn errors_that_could_not_be_counted_are_counted_with_the_next() {
        let mut host = FakeHost::default();
        let mut errors = AttributeErrors::default();
        host.fail("define_metric", Status(12));
        errors.record(&mut host, Attribute::TIME, format_args!("a"));
        host.succeed("define_metric");
        errors.record(&mut host, Attribute::TIME, format_args!("b"));
        assert_eq!(host.attribute_errors(Attribute::TIME), 2);
    }
}
