//! The objects of the stand-in, and the history that watches replay.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::path::Resource;
use super::selector::Selector;

/// A kind of object: group and plural name.
pub(super) type Collection = (String, String);

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(super) change: &'static str,
    pub(super) collection: Collection,
    pub(super) object: Value,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<(Collection, String, String), Value>,
    /// Event n has the resource version n + 1.
    history: Vec<Event>,
}

/// The state of the stand-in.
pub(super) struct Store {
    state: Mutex<State>,
    changed: watch::Sender<usize>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates or replaces an object; returns it with its version.
    pub(super) fn put(&self, resource: &Resource, mut object: Value) -> Value {
        let mut state = self.state();
        let key = key(resource, &object);
        let version = state.history.len() + 1;
        let known = state
            .objects
            .get(&key)
            .map(|known| known["metadata"].clone());
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        metadata["resourceVersion"] = json!(version.to_string());
        for (field, value) in [
            (
                "uid",
                json!(format!("00000000-0000-4000-8000-{version:012}")),
            ),
            ("creationTimestamp", json!("2026-01-01T00:00:00Z")),
        ] {
            metadata[field] = known.as_ref().map_or(value, |known| known[field].clone());
        }
        metadata["generation"] = json!(
            known
                .as_ref()
                .map_or(1, |known| known["generation"].as_u64().unwrap_or(0) + 1)
        );
        let change = if known.is_some() { "MODIFIED" } else { "ADDED" };
        state.history.push(Event {
            change,
            collection: key.0.clone(),
            object: object.clone(),
        });
        state.objects.insert(key, object.clone());
        drop(state);
        self.changed.send_replace(version);
        object
    }

    pub(super) fn get(&self, resource: &Resource) -> Option<Value> {
        self.state()
            .objects
            .get(&key(resource, &Value::Null))
            .cloned()
    }

    /// Removes an object; `None` when there was none.
    pub(super) fn delete(&self, resource: &Resource) -> Option<Value> {
        let mut state = self.state();
        let key = key(resource, &Value::Null);
        let mut object = state.objects.remove(&key)?;
        let version = state.history.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        state.history.push(Event {
            change: "DELETED",
            collection: key.0,
            object: object.clone(),
        });
        drop(state);
        self.changed.send_replace(version);
        Some(object)
    }

    /// The objects of a kind, in one namespace or in all, and the version of this answer.
    pub(super) fn list(&self, resource: &Resource, selector: &Selector) -> (Vec<Value>, usize) {
        let state = self.state();
        let collection = collection(resource);
        let items = state
            .objects
            .iter()
            .filter(|((known, namespace, _), object)| {
                *known == collection
                    && resource
                        .namespace
                        .as_ref()
                        .is_none_or(|wanted| wanted == namespace)
                    && selector.matches(object)
            })
            .map(|(_, object)| object.clone())
            .collect();
        (items, state.history.len())
    }

    /// The changes after `version`, and the version of the last one.
    pub(super) fn since(&self, version: usize) -> (Vec<Event>, usize) {
        let state = self.state();
        (
            state.history.get(version..).unwrap_or_default().to_vec(),
            state.history.len(),
        )
    }

    /// Notifies of every change.
    pub(super) fn changes(&self) -> watch::Receiver<usize> {
        self.changed.subscribe()
    }
}

pub(super) fn collection(resource: &Resource) -> Collection {
    (resource.group.clone(), resource.plural.clone())
}

fn key(resource: &Resource, object: &Value) -> (Collection, String, String) {
    let from_object = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let name = resource
        .name
        .clone()
        .or_else(|| from_object("name"))
        .unwrap_or_default();
    (
        collection(resource),
        resource.namespace.clone().unwrap_or_default(),
        name,
    )
}
