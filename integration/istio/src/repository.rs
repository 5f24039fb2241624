//! The repository's own files, as tests apply them.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file below `envoy-config/istio`.
///
/// # Errors
/// It cannot be read.
pub fn manifest(name: &str) -> anyhow::Result<String> {
    let path = root().join("envoy-config/istio").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("manifest: {}", path.display()))
}

/// Every YAML file below `envoy-config/istio`, by its path below it, sorted.
///
/// # Errors
/// A folder cannot be read.
pub fn manifests() -> anyhow::Result<Vec<String>> {
    fn walk(base: &Path, folder: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(base, &path, found)?;
            } else if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                found.push(path.strip_prefix(base)?.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
    let base = root().join("envoy-config/istio");
    let mut found = Vec::new();
    walk(&base, &base, &mut found)?;
    found.sort();
    Ok(found)
}
