//! The project's rules and alerts, fast enough to watch: a second instead of a minute, half a minute instead of an hour.
//! Only durations change.

use anyhow::{Context, ensure};

/// What is written in the files, and what stands in the copy.
const RULES: [(&str, &str); 8] = [
    ("interval: 1m", "interval: 1s"),
    (" offset 1m", " offset 1s"),
    // Sightings are named three evaluations later; the played cluster never changes.
    (" offset 2m", " offset 3s"),
    // Windows. The month stays longer than the check, so that it is the one that is never proven and never left.
    ("time() - 3600", "time() - 30"),
    ("time() - 86400", "time() - 34"),
    ("time() - 604800", "time() - 38"),
    ("time() - 2592000", "time() - 7200"),
    // First seen is known where the filter had been reporting for this long.
    (" + 600)", " + 2)"),
];

const ALERTS: [(&str, &str); 5] = [
    ("interval: 1m", "interval: 1s"),
    ("[1d:5m]", "[5m:1s]"),
    ("for: 1m", "for: 1s"),
    ("for: 5m", "for: 1s"),
    ("for: 15m", "for: 1s"),
];

/// The recording rules at the check's pace.
///
/// # Errors
/// A duration that this module replaces is no longer in the file.
pub fn rules(text: &str) -> anyhow::Result<String> {
    replaced(text, &RULES)
}

/// The alerts at the check's pace.
///
/// # Errors
/// A duration that this module replaces is no longer in the file.
pub fn alerts(text: &str) -> anyhow::Result<String> {
    replaced(text, &ALERTS)
}

fn replaced(text: &str, pairs: &[(&str, &str)]) -> anyhow::Result<String> {
    pairs.iter().try_fold(text.to_owned(), |text, (from, to)| {
        ensure!(
            text.contains(from),
            "pace: {from:?}: not in the file any more"
        );
        Ok(text.replace(from, to))
    })
}

/// A file of the project.
///
/// # Errors
/// It cannot be read.
pub fn project_file(path: &str) -> anyhow::Result<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_files_still_have_every_duration() {
        let rules =
            rules(&project_file("envoy-config/prometheus/plainsight.rules.yml").unwrap()).unwrap();
        for left in ["offset 2m", "- 3600", "- 86400", "- 604800", "- 2592000"] {
            assert!(!rules.contains(left), "{left}");
        }
        alerts(&project_file("envoy-config/prometheus/plainsight.alerts.yml").unwrap()).unwrap();
    }

    #[test]
    fn a_duration_that_is_gone_is_an_error_that_names_it() {
        let error = replaced("for: 1m", &[("for: 2m", "for: 1s")])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "pace: \"for: 2m\": not in the file any more");
    }
}
