//! All metrics of a proxy as Prometheus would scrape them, with the labels inside `tag` unpacked.

use crate::{MetricStore, TagRegexes};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// One metric with its labels and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The metric's name without labels.
    pub name: String,
    /// Labels by name, including those inside `tag`; `tag` itself is omitted.
    pub labels: BTreeMap<String, String>,
    /// The value; gauges below zero show as negative numbers.
    pub value: i64,
}

impl Sample {
    fn matches(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name
            && labels
                .iter()
                .all(|(name, value)| self.labels.get(*name).map(String::as_str) == Some(*value))
    }
}

/// The result of one scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrape {
    /// Every metric that is defined.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Scrapes `metrics` through `regexes`.
    ///
    /// # Errors
    ///
    /// A metric name that is not UTF-8, or a regex that failed.
    pub fn of(metrics: &MetricStore, regexes: &TagRegexes) -> Result<Self> {
        let mut samples = Vec::new();
        for (_, name, value) in metrics.snapshot() {
            let defined = String::from_utf8(name).context("metric name: not UTF-8")?;
            let exposed = regexes.expose(&defined)?;
            let unpacked = exposed.unpacked().unwrap_or_default();
            let real = exposed.labels.into_iter().filter(|(name, _)| name != "tag");
            samples.push(Sample {
                name: exposed.name,
                labels: real.chain(unpacked).collect(),
                value: value.cast_signed(),
            });
        }
        Ok(Self { samples })
    }

    /// The samples of a metric that carry all these labels.
    pub fn matching(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let samples = self.samples.iter();
        samples
            .filter(|sample| sample.matches(name, labels))
            .collect()
    }

    /// The sum over the samples of a metric that carry all these labels; 0 without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let samples = self.matching(name, labels);
        samples.iter().map(|sample| sample.value).sum()
    }
}
