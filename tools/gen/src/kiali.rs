//! The Kiali tab draws the filter's raw metrics: each must be one that the filter has.

use std::path::Path;

use anyhow::Context;
use plainsight::metrics::METRICS;
use serde_yaml_ng::Value;

use crate::read;

const PATH: &str = "envoy-config/grafana/kiali.yaml";

/// Every metric that the tab names and the filter does not define, a line each.
///
/// # Errors
/// The file cannot be read, or has no chart.
pub fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    against_the_filter(&read(root, PATH)?).context(PATH)
}

fn against_the_filter(text: &str) -> anyhow::Result<Vec<String>> {
    let file: Value = serde_yaml_ng::from_str(text)?;
    let mut problems = Vec::new();
    for tab in list(&file["spec"]["custom_dashboards"]).context("custom_dashboards: no list")? {
        let charts = list(&tab["items"]).context("items: no list")?;
        let named = charts
            .iter()
            .map(|item| ("metricName", &item["chart"]["metricName"]))
            .chain([("discoverOn", &tab["discoverOn"])]);
        for (key, name) in named {
            let name = name.as_str().with_context(|| format!("{key}: no text"))?;
            if !METRICS.iter().any(|metric| metric.name == name) {
                problems.push(format!(
                    "{PATH}: {key}: the filter has no such metric: {name}"
                ));
            }
        }
    }
    Ok(problems)
}

fn list(value: &Value) -> Option<&Vec<Value>> {
    value.as_sequence().filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tab_draws_only_what_the_filter_has() {
        assert_eq!(problems(&crate::root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_metric_that_the_filter_does_not_have_is_named() {
        let text = read(&crate::root(), PATH)
            .unwrap()
            .replace("plainsight_requests_total", "plainsight_requests");
        assert_eq!(
            against_the_filter(&text).unwrap(),
            [format!(
                "{PATH}: metricName: the filter has no such metric: plainsight_requests"
            )]
        );
    }

    #[test]
    fn a_file_without_a_tab_is_an_error() {
        assert!(against_the_filter("spec: {}\n").is_err());
    }
}
