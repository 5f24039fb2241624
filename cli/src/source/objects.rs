//! Kubernetes objects, reduced to the model: the same for the API and for files.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::model::cluster::{ANNOTATIONS, DestinationRule, Namespace, Pod, Service};
use crate::model::mode::{Mode, PeerAuthentication};

/// The name of the sidecar's container.
const SIDECAR: &str = "istio-proxy";

/// A pod. Its workload is named as istiod's injection names it in the sidecar.
pub fn pod(pod: core::Pod) -> Pod {
    let metadata = pod.metadata;
    let name = metadata.name.unwrap_or_default();
    let labels = metadata.labels.unwrap_or_default();
    let owner = metadata
        .owner_references
        .unwrap_or_default()
        .into_iter()
        .find(|owner| owner.controller == Some(true));
    let (workload_kind, workload) = match owner {
        None => ("Pod".into(), name.clone()),
        Some(owner) => workload_of(
            &owner.kind,
            &owner.name,
            labels.get("pod-template-hash").map(String::as_str),
        ),
    };
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
    let spec = pod.spec.unwrap_or_default();
    let init = spec.init_containers.unwrap_or_default();
    let sidecar = spec
        .containers
        .iter()
        .chain(&init)
        .any(|container| container.name == SIDECAR);
    let phase = pod
        .status
        .and_then(|status| status.phase)
        .unwrap_or_default();
    Pod {
        namespace: metadata.namespace.unwrap_or_else(|| "default".into()),
        name,
        workload_kind,
        workload,
        labels,
        annotations,
        sidecar,
        gateway: sidecar
            && spec.containers.len() == 1
            && spec
                .containers
                .iter()
                .all(|container| container.name == SIDECAR),
        host_network: spec.host_network == Some(true),
        inactive: matches!(phase.as_str(), "Succeeded" | "Failed" | "Pending"),
    }
}

/// istiod's `GetDeployMetaFromPod`: a ReplicaSet's Deployment, a Job's CronJob, else the owner.
/// <https://github.com/istio/istio/blob/master/pkg/kube/util.go>
fn workload_of(kind: &str, name: &str, hash: Option<&str>) -> (String, String) {
    if kind == "ReplicaSet"
        && let Some(deployment) = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'))
    {
        return ("Deployment".into(), deployment.into());
    }
    if kind == "Job"
        && let Some((cronjob, digits)) = name.rsplit_once('-')
        && (8..=10).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return ("CronJob".into(), cronjob.into());
    }
    (kind.into(), name.into())
}

/// A Service.
pub fn service(service: core::Service) -> Service {
    Service {
        namespace: service
            .metadata
            .namespace
            .unwrap_or_else(|| "default".into()),
        name: service.metadata.name.unwrap_or_default(),
        selector: service
            .spec
            .and_then(|spec| spec.selector)
            .unwrap_or_default(),
    }
}

/// A namespace; of its labels those that Istio reads.
pub fn namespace(namespace: core::Namespace) -> Namespace {
    let mut labels = namespace.metadata.labels.unwrap_or_default();
    labels.retain(|key, _| key.starts_with("istio"));
    Namespace {
        name: namespace.metadata.name.unwrap_or_default(),
        labels,
    }
}

/// A PeerAuthentication, or what is wrong with it, with the path.
pub fn peer_authentication(
    metadata: &ObjectMeta,
    object: &Value,
) -> Result<PeerAuthentication, String> {
    let empty = Value::Object(serde_json::Map::new());
    let spec = match object.get("spec") {
        None | Some(Value::Null) => &empty,
        Some(spec) => spec,
    };
    let fields = spec
        .as_object()
        .ok_or_else(|| format!("spec: expected an object, got: {spec}"))?;
    if let Some(field) = fields
        .keys()
        .find(|key| !["selector", "mtls", "portLevelMtls"].contains(&key.as_str()))
    {
        return Err(format!("spec.{field}: unknown field"));
    }
    let mut selector = BTreeMap::new();
    if let Some(found) = fields.get("selector").filter(|found| !found.is_null()) {
        let labels = found
            .as_object()
            .ok_or_else(|| format!("spec.selector: expected an object, got: {found}"))?;
        if let Some(field) = labels.keys().find(|key| *key != "matchLabels") {
            return Err(format!("spec.selector.{field}: unknown field"));
        }
        let labels = labels.get("matchLabels").filter(|found| !found.is_null());
        let labels = labels.map(|found| {
            found.as_object().ok_or_else(|| {
                format!("spec.selector.matchLabels: expected an object, got: {found}")
            })
        });
        for (key, value) in labels.transpose()?.into_iter().flatten() {
            let value = value.as_str().ok_or_else(|| {
                format!("spec.selector.matchLabels.{key}: expected a string, got: {value}")
            })?;
            selector.insert(key.clone(), value.to_owned());
        }
    }
    let mut ports = BTreeMap::new();
    if let Some(found) = fields.get("portLevelMtls").filter(|found| !found.is_null()) {
        let found = found
            .as_object()
            .ok_or_else(|| format!("spec.portLevelMtls: expected an object, got: {found}"))?;
        for (port, value) in found {
            let number = port.parse().ok().filter(|number| *number > 0);
            let number = number
                .ok_or_else(|| format!("spec.portLevelMtls: expected a port, got: {port}"))?;
            ports.insert(
                number,
                mode(Some(value), &format!("spec.portLevelMtls.{port}"))?,
            );
        }
    }
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    Ok(PeerAuthentication {
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations,
        namespace: metadata
            .namespace
            .clone()
            .ok_or("metadata.namespace: missing: kubectl would take its context's")?,
        name: metadata.name.clone().ok_or("metadata.name: missing")?,
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        selector,
        mode: mode(fields.get("mtls"), "spec.mtls")?,
        ports,
    })
}

fn mode(mtls: Option<&Value>, path: &str) -> Result<Option<Mode>, String> {
    let Some(mtls) = mtls.filter(|mtls| !mtls.is_null()) else {
        return Ok(None);
    };
    let fields = mtls
        .as_object()
        .ok_or_else(|| format!("{path}: expected an object, got: {mtls}"))?;
    if let Some(field) = fields.keys().find(|key| *key != "mode") {
        return Err(format!("{path}.{field}: unknown field"));
    }
    match fields.get("mode").unwrap_or(&Value::Null) {
        Value::Null => Ok(None),
        Value::String(text) => match text.as_str() {
            "UNSET" => Ok(None),
            "DISABLE" => Ok(Some(Mode::Disable)),
            "PERMISSIVE" => Ok(Some(Mode::Permissive)),
            "STRICT" => Ok(Some(Mode::Strict)),
            _ => Err(format!(
                "{path}.mode: expected UNSET, DISABLE, PERMISSIVE or STRICT, got: {text}"
            )),
        },
        other => Err(format!("{path}.mode: expected a string, got: {other}")),
    }
}

/// A DestinationRule that sets TLS anywhere; others change nothing.
pub fn destination_rule(metadata: &ObjectMeta, object: &Value) -> Option<DestinationRule> {
    let spec = object.get("spec")?;
    let mut tls_modes = BTreeSet::new();
    let mut policies = vec![spec.get("trafficPolicy")];
    policies.extend(
        spec.get("subsets")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|subset| subset.get("trafficPolicy")),
    );
    for policy in policies.into_iter().flatten() {
        let ports = policy
            .get("portLevelSettings")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for settings in ports.chain([policy]) {
            if let Some(mode) = settings.pointer("/tls/mode").and_then(Value::as_str) {
                tls_modes.insert(mode.to_owned());
            } else if settings.get("tls").is_some() {
                tls_modes.insert("DISABLE".into());
            }
        }
    }
    (!tls_modes.is_empty()).then(|| DestinationRule {
        namespace: metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".into()),
        name: metadata.name.clone().unwrap_or_default(),
        host: spec
            .get("host")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        tls_modes,
    })
}

/// The root namespace from the mesh configuration, the key `mesh` of the ConfigMap `istio`.
pub fn root_namespace(mesh: &str) -> Option<String> {
    let mesh: Value = serde_saphyr::from_str(mesh).ok()?;
    mesh.get("rootNamespace")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_as_istiod_names_them() {
        for (kind, name, hash, expected) in [
            (
                "ReplicaSet",
                "cart-7c9d",
                Some("7c9d"),
                ("Deployment", "cart"),
            ),
            ("ReplicaSet", "bare", None, ("ReplicaSet", "bare")),
            ("Job", "report-28123456", None, ("CronJob", "report")),
            ("Job", "once", None, ("Job", "once")),
            ("StatefulSet", "db", None, ("StatefulSet", "db")),
        ] {
            let (kind, name) = workload_of(kind, name, hash);
            assert_eq!((kind.as_str(), name.as_str()), expected);
        }
    }

    #[test]
    fn a_broken_policy_is_named_with_its_path() {
        let metadata = ObjectMeta {
            name: Some("x".into()),
            namespace: Some("shop".into()),
            ..ObjectMeta::default()
        };
        for (spec, path) in [
            (
                serde_json::json!({"mtls": {"mode": "strict"}}),
                "spec.mtls.mode: expected UNSET",
            ),
            (serde_json::json!({"mtl": {}}), "spec.mtl: unknown field"),
            (
                serde_json::json!({"portLevelMtls": {"http": {"mode": "STRICT"}}}),
                "spec.portLevelMtls: expected a port",
            ),
            (
                serde_json::json!({"selector": {"matchLabels": {"app": 1}}}),
                "spec.selector.matchLabels.app",
            ),
            (
                serde_json::json!({"selector": {"matchLabels": ["app"]}}),
                "spec.selector.matchLabels: expected an object",
            ),
        ] {
            let error =
                peer_authentication(&metadata, &serde_json::json!({"spec": spec})).unwrap_err();
            assert!(error.starts_with(path), "{error}");
        }
    }
}
