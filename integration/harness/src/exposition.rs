//! `/stats/prometheus`, parsed: samples with their labels, Istio's `tag` label unpacked.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// One sample of the text format.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels. A `tag="k=v,k=v"` label is replaced by the labels packed in it.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// One scrape of `/stats/prometheus`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    /// All samples in order.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Parses the Prometheus text format.
    ///
    /// # Errors
    /// A line is neither a comment nor a sample; the message holds the line.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let samples = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).with_context(|| format!("exposition: {line}")))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { samples })
    }

    /// The samples called `name` whose labels include all of `labels`.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.label(key) == Some(value))
        })
    }

    /// The sum over [`Scrape::matching`]; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The number of matching series, zeros included.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.matching(name, labels).count()
    }

    /// The samples whose name starts with `plainsight_`, as sorted lines `name{k="v"} value`: exact text for asserts
    /// and for messages.
    pub fn plainsight(&self) -> Vec<String> {
        let mut lines: Vec<_> = self
            .samples
            .iter()
            .filter(|sample| sample.name.starts_with("plainsight_"))
            .map(Sample::to_string)
            .collect();
        lines.sort();
        lines
    }
}

impl Sample {
    /// The value of the label `key`, absent as `None`.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        write!(f, "{}{{{}}} {}", self.name, labels.join(","), self.value)
    }
}

fn sample(line: &str) -> anyhow::Result<Sample> {
    let name_end = line.find(['{', ' ']).context("no value")?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(body) => labels(body)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next().context("no value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels: unpack(labels),
        value: value.parse()?,
    })
}

/// Parses labels up to the closing brace; returns the rest.
fn labels(mut rest: &str) -> anyhow::Result<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (key, quoted) = rest
            .split_once("=\"")
            .context("label without a quoted value")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => bail!("label value ends in a backslash"),
                },
                Some((_, other)) => value.push(other),
                None => bail!("label value without an end"),
            }
        };
        if labels.insert(key.to_owned(), value).is_some() {
            bail!("label twice: {key}");
        }
        rest = &quoted[end + 1..];
    }
}

/// Unpacks `tag="k=v,k=v"` into labels. A piece without `=` becomes a label with an empty name.
fn unpack(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(tag) = labels.remove("tag") {
        for piece in tag.split(',') {
            let (key, value) = piece.split_once('=').unwrap_or(("", piece));
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_tag_is_unpacked_into_its_labels() {
        let scrape = Scrape::parse(
            "# TYPE plainsight_requests_total counter\n\
             plainsight_requests_total{tag=\"peer=plaintext,source_ip=fd00::10:2\"} 3\n",
        )
        .unwrap();
        assert_eq!(
            scrape.plainsight(),
            ["plainsight_requests_total{peer=\"plaintext\",source_ip=\"fd00::10:2\"} 3"]
        );
        assert_eq!(
            scrape.sum("plainsight_requests_total", &[("source_ip", "fd00::10:2")]),
            3.0
        );
        assert_eq!(
            scrape.count("plainsight_requests_total", &[("peer", "mutual_tls")]),
            0
        );
    }

    #[test]
    fn quotes_and_braces_inside_a_value_are_part_of_it() {
        let scrape =
            Scrape::parse("a{b=\"x\\\"}\\\\,y\",c=\"\"} 1 1700000000\nplain 2.5\n").unwrap();
        assert_eq!(scrape.samples[0].label("b"), Some("x\"}\\,y"));
        assert_eq!(scrape.samples[0].label("c"), Some(""));
        assert_eq!(scrape.samples[1].value, 2.5);
    }

    #[test]
    fn a_line_that_is_not_a_sample_is_an_error_that_shows_it() {
        for broken in ["name", "a{b=\"c} 1", "a{b=c} 1", "a{} x"] {
            let error = format!("{:#}", Scrape::parse(broken).unwrap_err());
            assert!(
                error.starts_with(&format!("exposition: {broken}")),
                "{error}"
            );
        }
    }
}
