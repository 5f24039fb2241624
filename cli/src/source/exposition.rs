//! One sidecar's own metrics, from `/stats/prometheus`: with packed tags, or with the labels already unpacked.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};

use percent_encoding::percent_decode_str;

use crate::Error;

/// The labels of a series.
pub type SeriesLabels = BTreeMap<String, String>;

/// One series of the filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// `plainsight_...`
    pub name: String,
    /// Its labels, `tag` unpacked.
    pub labels: SeriesLabels,
    /// Its value.
    pub value: f64,
}

/// Reads a file, standard input (`-`), or a URL.
pub fn read(from: &str, timeout: std::time::Duration) -> Result<String, Error> {
    if from.starts_with("http://") || from.starts_with("https://") {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .build();
        let mut response = config
            .new_agent()
            .get(from)
            .call()
            .map_err(|error| Error::file(from, error))?;
        return response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_string()
            .map_err(|error| Error::file(from, error));
    }
    let mut bytes = Vec::new();
    if from == "-" && std::io::stdin().is_terminal() {
        return Err(Error::Usage(
            "peek: nothing on standard input: give a file or a URL, or pipe /stats/prometheus into it".into(),
        ));
    }
    let result = if from == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(from).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    result.map_err(|error| Error::file(from, error))?;
    String::from_utf8(bytes)
        .map_err(|_| Error::file(from, "not UTF-8: expected the text of /stats/prometheus"))
}

/// The filter's series; other metrics are skipped, a broken line of the filter's is an error.
pub fn parse(text: &str) -> Result<Vec<Series>, String> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.starts_with("plainsight_") {
            if line.starts_with('<') && found.is_empty() {
                return Err(format!("line {}: expected metrics, got HTML", index + 1));
            }
            continue;
        }
        let series = parse_line(line).ok_or_else(|| {
            format!(
                "line {}: expected name{{label=\"value\"}} number, got: {line}",
                index + 1
            )
        })?;
        found.push(series);
    }
    Ok(found)
}

fn parse_line(line: &str) -> Option<Series> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (mut labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (SeriesLabels::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    if let Some(tag) = labels.remove("tag") {
        for pair in tag.split(',') {
            let (key, packed) = pair.split_once('=')?;
            labels.insert(
                key.to_owned(),
                percent_decode_str(packed).decode_utf8_lossy().into_owned(),
            );
        }
    }
    Some(Series {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what follows it.
fn parse_labels(mut rest: &str) -> Option<(SeriesLabels, &str)> {
    let mut labels = SeriesLabels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.trim().to_owned(), value);
        rest = quoted.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_tags_and_labels_are_the_same() {
        let packed = "plainsight_connections_total{tag=\"peer=plaintext,strict=reject,source_ip=fd00::7,source_name=a%2Cb\"} 3\n";
        let labels = "plainsight_connections_total{peer=\"plaintext\",strict=\"reject\",source_ip=\"fd00::7\",source_name=\"a,b\"} 3 1700000000\n";
        assert_eq!(parse(packed).unwrap(), parse(labels).unwrap());
        assert_eq!(parse(packed).unwrap()[0].labels["source_name"], "a,b");
    }

    #[test]
    fn other_metrics_are_skipped_and_broken_lines_named() {
        assert_eq!(
            parse("# TYPE x counter\nenvoy_server_live{} 1\n").unwrap(),
            []
        );
        let error = parse("a 1\nplainsight_requests_total{peer=\"x} 1\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(parse("<html>").unwrap_err().contains("HTML"));
    }

    #[test]
    fn escapes_in_label_values_are_undone() {
        let series = parse("plainsight_requests_total{a=\"q\\\"}\\\\\",b=\"\"} 1").unwrap();
        assert_eq!(series[0].labels["a"], "q\"}\\");
        assert_eq!(series[0].labels["b"], "");
    }
}
