//! Kubernetes objects in files: manifests, and what `kubectl get -o yaml` or `-o json` prints.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::objects;
use crate::Error;
use crate::model::cluster::Cluster;
use crate::model::mode::PeerAuthentication;

/// The PeerAuthentications in the files, in order. Every document has to be readable. `namespace` is that of policies
/// that name none.
pub fn policies(
    paths: &[PathBuf],
    namespace: Option<&str>,
) -> Result<Vec<PeerAuthentication>, Error> {
    Ok(read(paths, "istio-system", namespace)?.policies)
}

/// A cluster as far as the files describe it.
pub fn cluster(paths: &[PathBuf], root_namespace: &str) -> Result<Cluster, Error> {
    read(paths, root_namespace, None)
}

fn read(
    paths: &[PathBuf],
    root_namespace: &str,
    namespace: Option<&str>,
) -> Result<Cluster, Error> {
    let mut cluster = Cluster {
        source: paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        root_namespace: root_namespace.into(),
        policies: Vec::new(),
        pods: None,
        namespaces: None,
        services: None,
        destination_rules: None,
        complete: false,
        notes: Vec::new(),
    };
    for path in expand(paths)? {
        for (index, document) in documents(&path)?.into_iter().enumerate() {
            add(&mut cluster, document, namespace).map_err(|problem| {
                Error::file(
                    path.display(),
                    format_args!("document {}: {problem}", index + 1),
                )
            })?;
        }
    }
    Ok(cluster)
}

/// Directories become the manifests in them.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            std::fs::read_dir(path).map_err(|error| Error::file(path.display(), error))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
            })
            .collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn documents(path: &Path) -> Result<Vec<Value>, Error> {
    let mut text = String::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    result.map_err(|error| Error::file(path.display(), error))?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text)
            .map(|value| vec![value])
            .map_err(|error| Error::file(path.display(), error));
    }
    serde_saphyr::from_multiple(&text).map_err(|error| {
        let error = error.to_string();
        Error::file(
            path.display(),
            error
                .lines()
                .next()
                .unwrap_or("not YAML")
                .trim_end_matches(':'),
        )
    })
}

fn add(cluster: &mut Cluster, document: Value, namespace: Option<&str>) -> Result<(), String> {
    let kind = match document.get("kind") {
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => return Err(format!("kind: expected a string, got: {other}")),
        None => return Err("kind: missing: not a Kubernetes object".into()),
    };
    let metadata = |document: &Value| -> Result<ObjectMeta, String> {
        let metadata = document
            .get("metadata")
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        serde_json::from_value(metadata).map_err(|error| format!("metadata: {error}"))
    };
    let at = |error: serde_json::Error| format!("{kind}: {error}");
    match kind.as_str() {
        "List"
        | "PodList"
        | "PeerAuthenticationList"
        | "DestinationRuleList"
        | "NamespaceList"
        | "ServiceList" => {
            let Value::Object(mut fields) = document else {
                return Err("expected an object".into());
            };
            let Some(Value::Array(items)) = fields.remove("items") else {
                return Err("items: expected a list".into());
            };
            for (index, item) in items.into_iter().enumerate() {
                add(cluster, item, namespace)
                    .map_err(|problem| format!("items[{index}]: {problem}"))?;
            }
        }
        "PeerAuthentication" => {
            let mut metadata = metadata(&document)?;
            metadata.namespace = metadata.namespace.or_else(|| namespace.map(str::to_owned));
            let policy = objects::peer_authentication(&metadata, &document).map_err(|problem| {
                format!(
                    "PeerAuthentication {}: {problem}",
                    metadata.name.as_deref().unwrap_or_default()
                )
            })?;
            cluster.policies.push(policy);
        }
        "DestinationRule" => {
            let rules = cluster.destination_rules.get_or_insert_default();
            rules.extend(objects::destination_rule(&metadata(&document)?, &document));
        }
        "Pod" => cluster
            .pods
            .get_or_insert_default()
            .push(objects::pod(serde_json::from_value(document).map_err(at)?)),
        "Service" => cluster
            .services
            .get_or_insert_default()
            .push(objects::service(
                serde_json::from_value(document).map_err(at)?,
            )),
        "Namespace" => {
            cluster
                .namespaces
                .get_or_insert_default()
                .push(objects::namespace(
                    serde_json::from_value(document).map_err(at)?,
                ));
        }
        // A GitOps folder holds much else.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policies.yaml");
        std::fs::write(&path, text).unwrap();
        (folder, vec![path])
    }

    const GOOD: &str = "kind: PeerAuthentication\nmetadata: {name: a, namespace: shop}\nspec:\n  selector: {matchLabels: {app: cart}}\n  mtls: {mode: STRICT}\n  portLevelMtls:\n    9000: {mode: PERMISSIVE}\n";

    #[test]
    fn all_documents_are_read() {
        let (_folder, paths) = file(&format!(
            "{GOOD}---\nkind: ConfigMap\n---\nkind: List\nitems:\n- kind: PeerAuthentication\n  metadata: {{name: b, namespace: hr}}\n"
        ));
        let policies = policies(&paths, None).unwrap();
        assert_eq!(policies.len(), 2);
        assert_eq!(
            policies[0].ports.keys().copied().collect::<Vec<_>>(),
            [9000]
        );
        assert_eq!(policies[1].namespace, "hr");
    }

    #[test]
    fn a_policy_without_a_namespace_takes_the_one_given_or_is_an_error() {
        let (_folder, paths) = file("kind: PeerAuthentication\nmetadata: {name: a}\n");
        let error = policies(&paths, None).unwrap_err().to_string();
        assert!(error.contains("metadata.namespace: missing"), "{error}");
        assert_eq!(policies(&paths, Some("shop")).unwrap()[0].namespace, "shop");
    }

    #[test]
    fn one_broken_document_of_two_is_an_error_with_its_place() {
        let (_folder, paths) = file(&format!(
            "{GOOD}---\nkind: PeerAuthentication\nmetadata: {{name: b, namespace: hr}}\nspec: {{mtls: {{mode: STRIKT}}}}\n"
        ));
        let error = policies(&paths, None).unwrap_err().to_string();
        assert!(
            error.contains("document 2: PeerAuthentication b: spec.mtls.mode"),
            "{error}"
        );
        let (_folder, paths) = file(&format!("{GOOD}---\nkind: [\n"));
        let error = policies(&paths, None).unwrap_err().to_string();
        assert!(
            error.contains("policies.yaml: ") && error.lines().count() == 1,
            "{error}"
        );
    }
}
