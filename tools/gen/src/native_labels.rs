//! The list of label names that `labels: native` needs in `extraStatTags`, in the two places where Istio takes it.

use anyhow::{Result, anyhow};
use plainsight::metrics::LABELS;
use std::path::Path;

/// The istiod chart's values.
pub const MESH_VALUES: &str = "envoy-config/istio/native-labels/mesh-values.yaml";
/// The patch for one workload.
pub const POD_ANNOTATION: &str = "envoy-config/istio/native-labels/pod-annotation.yaml";

/// [`MESH_VALUES`] with the list made anew.
///
/// # Errors
/// When the file has no `extraStatTags`.
pub fn make_mesh_values(root: &Path) -> Result<String> {
    with_list(&std::fs::read_to_string(root.join(MESH_VALUES))?, "    ")
}

/// [`POD_ANNOTATION`] with the list made anew.
///
/// # Errors
/// When the file has no `extraStatTags`.
pub fn make_pod_annotation(root: &Path) -> Result<String> {
    with_list(
        &std::fs::read_to_string(root.join(POD_ANNOTATION))?,
        "          ",
    )
}

/// The list is the file's end; what stands before it is written by people.
fn with_list(now: &str, indent: &str) -> Result<String> {
    let key = "extraStatTags:\n";
    let (before, _) = now
        .split_once(key)
        .ok_or_else(|| anyhow!("no extraStatTags"))?;
    let names: String = LABELS
        .iter()
        .map(|(_, name, _)| format!("{indent}- {name}\n"))
        .collect();
    Ok(format!("{before}{key}{names}"))
}
