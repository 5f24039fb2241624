//! The dashboard as a ConfigMap, for a Grafana whose sidecar loads dashboards from the cluster.
//!
//! Label and annotation are the defaults of Grafana's Helm chart and of kube-prometheus-stack:
//! <https://github.com/grafana/helm-charts/tree/main/charts/grafana#sidecar-for-dashboards>.

use std::fmt::Write as _;
use std::path::Path;

use crate::read;

/// Where it is written.
pub const PATH: &str = "envoy-config/grafana/configmap.yaml";

const DASHBOARD: &str = "envoy-config/grafana/plainsight.json";

const HEAD: &str = "\
# Generated from plainsight.json by `make gen`: do not edit.
# The dashboard for a Grafana with a sidecar that loads dashboards: kubectl apply --namespace monitoring --filename configmap.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: plainsight-dashboard
  labels:
    grafana_dashboard: \"1\"
  annotations:
    grafana_folder: Istio
data:
  plainsight.json: |
";

/// The whole file.
///
/// # Errors
/// The dashboard cannot be read or is not JSON.
pub fn make(root: &Path) -> anyhow::Result<String> {
    let dashboard = read(root, DASHBOARD)?;
    serde_json::from_str::<serde::de::IgnoredAny>(&dashboard)?;
    let mut text = HEAD.to_owned();
    for line in dashboard.lines() {
        // A block scalar keeps its text as it is, provided that each line is indented.
        writeln!(text, "    {line}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_map_holds_the_dashboard_byte_for_byte_under_the_label_that_is_looked_for() {
        let root = crate::root();
        let map: serde_yaml_ng::Value = serde_yaml_ng::from_str(&make(&root).unwrap()).unwrap();
        assert_eq!(
            map["data"]["plainsight.json"].as_str().unwrap(),
            read(&root, DASHBOARD).unwrap()
        );
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    }

    /// `kubectl apply` keeps a copy in an annotation, and annotations end at 256 KiB:
    /// <https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>.
    #[test]
    fn the_config_map_fits_into_the_annotation_that_kubectl_apply_writes() {
        let map: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(&make(&crate::root()).unwrap()).unwrap();
        let copy = serde_json::to_string(&map).unwrap();
        assert!(copy.len() < 256 * 1024, "{} bytes", copy.len());
    }
}
