//! A stand-in for the Kubernetes API server with the parts that istiod needs: objects that can be listed, watched and
//! written. istiod reads WasmPlugin through the API only; with a folder of files it takes TrafficExtension alone.
//!
//! It has no schemas and no admission: `istioctl` and tests/apis.rs check manifests.

mod path;
mod query;
mod selector;
mod store;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use path::Resource;
use query::Query;
use selector::Selector;
use store::{Store, collection};

/// The kinds that tests write: kind, group, plural name, whether it has a namespace.
const KINDS: [(&str, &str, &str, bool); 13] = [
    ("Namespace", "", "namespaces", false),
    ("Node", "", "nodes", false),
    ("Pod", "", "pods", true),
    ("Service", "", "services", true),
    ("ServiceAccount", "", "serviceaccounts", true),
    ("ConfigMap", "", "configmaps", true),
    ("EndpointSlice", "discovery.k8s.io", "endpointslices", true),
    (
        "PeerAuthentication",
        "security.istio.io",
        "peerauthentications",
        true,
    ),
    (
        "AuthorizationPolicy",
        "security.istio.io",
        "authorizationpolicies",
        true,
    ),
    ("Sidecar", "networking.istio.io", "sidecars", true),
    ("WasmPlugin", "extensions.istio.io", "wasmplugins", true),
    (
        "TrafficExtension",
        "extensions.istio.io",
        "trafficextensions",
        true,
    ),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        false,
    ),
];

/// A running stand-in; it stops when dropped.
pub struct Kubernetes {
    store: Arc<Store>,
    task: AbortHandle,
}

impl Kubernetes {
    /// Serves on `address`, with the definitions of Istio's own kinds that tests write.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("kubernetes: {address}"))?;
        let store = Arc::new(Store::new());
        let served = Arc::clone(&store);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let store = Arc::clone(&served);
                let service =
                    hyper::service::service_fn(move |request| answer(Arc::clone(&store), request));
                tokio::spawn(async move {
                    // A client that goes away ends its connection, not the server.
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let kubernetes = Self {
            store,
            task: task.abort_handle(),
        };
        for (_, group, plural, _) in KINDS
            .iter()
            .filter(|(_, group, ..)| group.ends_with(".istio.io"))
        {
            kubernetes.apply(&format!(
                "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {plural}.{group}}}}}"
            ))?;
        }
        Ok(kubernetes)
    }

    /// Creates or replaces each object of a YAML text, as `kubectl apply` does for complete objects.
    ///
    /// # Errors
    /// No YAML, or a kind that tests do not write.
    pub fn apply(&self, yaml: &str) -> anyhow::Result<()> {
        for object in documents(yaml)? {
            let resource = resource_of(&object)?;
            self.store.put(&resource, object);
        }
        Ok(())
    }

    /// Deletes each object of a YAML text, as `kubectl delete -f` does.
    ///
    /// # Errors
    /// An object was not there.
    pub fn delete(&self, yaml: &str) -> anyhow::Result<()> {
        for object in documents(yaml)? {
            let resource = resource_of(&object)?;
            self.store
                .delete(&resource)
                .with_context(|| format!("kubernetes: not found: {resource:?}"))?;
        }
        Ok(())
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The objects of a YAML text.
///
/// # Errors
/// No YAML.
pub fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let object =
            Value::deserialize(document).with_context(|| format!("manifest: no YAML: {yaml}"))?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

fn resource_of(object: &Value) -> anyhow::Result<Resource> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let Some((_, group, plural, namespaced)) = KINDS.iter().find(|(known, ..)| *known == kind)
    else {
        bail!("kubernetes: kind: not one that tests write: {kind:?}");
    };
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    Ok(Resource {
        group: (*group).to_owned(),
        version: object["apiVersion"]
            .as_str()
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        plural: (*plural).to_owned(),
        namespace: namespaced.then(|| text("namespace").unwrap_or_else(|| "default".to_owned())),
        name: Some(text("name").with_context(|| format!("kubernetes: {kind}: no metadata.name"))?),
    })
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn reply(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_string()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}

fn refusal(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    reply(
        status,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
                "message": message, "code": status.as_u16()}),
    )
}

async fn answer(
    store: Arc<Store>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/version" {
        return Ok(reply(
            StatusCode::OK,
            &json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"}),
        ));
    }
    let Some(resource) = Resource::parse(&path) else {
        return Ok(refusal(StatusCode::NOT_FOUND, "NotFound", &path));
    };
    let method = request.method().clone();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let as_metadata = request
        .headers()
        .get("accept")
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let sent = serde_json::from_slice::<Value>(&body).or_else(|_| serde_yaml_ng::from_slice(&body));
    Ok(match (method, resource.name.is_some()) {
        (Method::GET, _) if query.watch => watch(&store, resource, query, as_metadata),
        (Method::GET, false) => list(&store, &resource, &query, as_metadata),
        (Method::GET, true) => found(store.get(&resource), &path),
        (Method::DELETE, true) => found(store.delete(&resource), &path),
        (Method::POST | Method::PUT, _) => match sent {
            Ok(object) => reply(StatusCode::CREATED, &store.put(&resource, object)),
            Err(error) => refusal(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                &format!("{path}: body: {error}"),
            ),
        },
        (Method::PATCH, true) => match (store.get(&resource), sent) {
            (Some(mut known), Ok(patch)) => {
                merge(&mut known, patch);
                reply(StatusCode::OK, &store.put(&resource, known))
            }
            _ => refusal(StatusCode::NOT_FOUND, "NotFound", &path),
        },
        (method, _) => refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            &format!("{method} {path}"),
        ),
    })
}

fn found(object: Option<Value>, path: &str) -> Response<Body> {
    object.map_or_else(
        || refusal(StatusCode::NOT_FOUND, "NotFound", path),
        |object| reply(StatusCode::OK, &object),
    )
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            if let Some(map) = target.as_object_mut() {
                map.remove(&key);
            }
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

/// The object as sent: with its type, and reduced to its metadata for clients that ask for that.
fn shown(mut object: Value, resource: &Resource, as_metadata: bool) -> Value {
    if as_metadata {
        return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
    }
    object["apiVersion"] = json!(resource.api_version());
    object
}

fn list(store: &Store, resource: &Resource, query: &Query, as_metadata: bool) -> Response<Body> {
    let selector = match Selector::parse(&query.labels, &query.fields) {
        Ok(selector) => selector,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()),
    };
    let (items, version) = store.list(resource, &selector);
    let items: Vec<_> = items
        .into_iter()
        .map(|object| shown(object, resource, as_metadata))
        .collect();
    let mut list = json!({"metadata": {"resourceVersion": version.to_string()}, "items": items});
    // Typed clients know the type of a list; the metadata client needs it in the answer.
    if as_metadata {
        list["kind"] = json!("PartialObjectMetadataList");
        list["apiVersion"] = json!("meta.k8s.io/v1");
    }
    reply(StatusCode::OK, &list)
}

/// One line of JSON for each change, until the client disconnects:
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.
fn watch(
    store: &Arc<Store>,
    resource: Resource,
    query: Query,
    as_metadata: bool,
) -> Response<Body> {
    let selector = match Selector::parse(&query.labels, &query.fields) {
        Ok(selector) => selector,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()),
    };
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(64);
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let mut changes = store.changes();
        let mut told = query.version;
        let wanted = collection(&resource);
        loop {
            let (events, version) = store.since(told);
            told = version.max(told);
            for event in events {
                let namespace = event.object["metadata"]["namespace"].as_str();
                let of_namespace = resource
                    .namespace
                    .as_deref()
                    .is_none_or(|wanted| namespace == Some(wanted));
                if event.collection != wanted || !of_namespace || !selector.matches(&event.object) {
                    continue;
                }
                let line = json!({"type": event.change, "object": shown(event.object, &resource, as_metadata)});
                if sender
                    .send_data(Bytes::from(format!("{line}\n")))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/json"),
    );
    response
}
