//! The rules and alerts as a `PrometheusRule` of the Prometheus Operator: the plain files' groups, word for word.

use std::path::Path;

use anyhow::Context;

use crate::expressions::{ALERTS, RULES};
use crate::read;

/// Where it lies.
pub const PATH: &str = "envoy-config/istio/prometheusrule.yaml";

const HEAD: &str = "\
# Written by `make gen` from envoy-config/prometheus/plainsight.rules.yml and plainsight.alerts.yml: change those.
# The Prometheus Operator takes it where its ruleSelector matches; with the kube-prometheus-stack chart add its label
# `release`.
# https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: plainsight
  namespace: istio-system
  labels:
    app.kubernetes.io/name: plainsight
spec:
  groups:
";

/// Makes the manifest.
///
/// # Errors
/// A rule file cannot be read or has no line `groups:`.
pub fn make(root: &Path) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    for path in [RULES, ALERTS] {
        let file = read(root, path)?;
        let (_, groups) = file
            .split_once("\ngroups:\n")
            .with_context(|| format!("{path}: groups: no such line"))?;
        for line in groups.lines() {
            if !line.is_empty() {
                text.push_str("  ");
                text.push_str(line);
            }
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_yaml_ng::Value;

    #[test]
    fn the_manifest_holds_the_very_groups_of_both_files() {
        let root = crate::root();
        let manifest: Value = serde_yaml_ng::from_str(&make(&root).unwrap()).unwrap();
        let groups: Vec<Value> = [RULES, ALERTS]
            .iter()
            .flat_map(|path| {
                let file: Value = serde_yaml_ng::from_str(&read(&root, path).unwrap()).unwrap();
                file["groups"].as_sequence().unwrap().clone()
            })
            .collect();
        assert!(groups.len() >= 3);
        assert_eq!(manifest["spec"]["groups"], Value::Sequence(groups));
    }
}
