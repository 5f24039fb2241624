//! The host's state of one VM: contexts, the running callback, counts, logs, scripted failures.

use crate::{
    Status,
    facts::{Answer, Connection, Facts, Headers},
    metric_store::{Kind, MetricStore},
    tally::Tally,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

/// State shared by all VMs of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub metrics: MetricStore,
    /// Nanoseconds since the epoch.
    pub clock: Rc<Cell<u64>>,
    pub node: Rc<RefCell<Facts>>,
    pub listener: Rc<RefCell<Facts>>,
    pub next_connection: Rc<Cell<u64>>,
}

/// A context of the module: a plugin's root, or a stream with its connection.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub facts: Facts,
    /// The connection, `None` for a root.
    pub connection: Option<u64>,
    /// A request on the connection, not the connection itself.
    pub is_request: bool,
}

/// Overrides the answer of a host call: called with the import's name.
pub type Interference = Box<dyn FnMut(&'static str) -> Option<Interfered>>;

/// An answer that is not the host's own.
#[derive(Clone, Debug)]
pub enum Interfered {
    /// This status, nothing written.
    Status(Status),
    /// Status Ok and these bytes, if the call returns bytes; other calls proceed as usual.
    Bytes(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    Request,
    Response,
}

pub(crate) struct HostState {
    pub process: Process,
    /// The `vm_id` of the VM's configuration. Istio leaves it empty.
    pub vm_id: String,
    pub streams: BTreeMap<u32, Stream>,
    /// Open connections by the host's own number, which is not their `connection.id`.
    pub connections: BTreeMap<u64, Connection>,
    /// The context of the running callback; 0 if none is running.
    pub current: u32,
    /// A plugin's configuration, while `proxy_on_configure` runs.
    pub configuration: Option<Vec<u8>>,
    /// The bytes of a downstream read, while it is handled.
    pub downstream: Option<Vec<u8>>,
    /// The headers that the module may access, while their callback runs.
    pub headers: Option<(Map, Headers)>,
    pub metric_ids: BTreeMap<u32, (Kind, Vec<u8>)>,
    pub next_metric: [u32; 3],
    pub tick_periods: BTreeMap<u32, u32>,
    pub tally: Tally,
    pub logs: Vec<(u32, String)>,
    /// Requested property paths in order, elements joined by dots; recorded if `Some`.
    pub asked: Option<Vec<String>>,
    pub interference: Option<Interference>,
}

impl HostState {
    pub fn new(process: Process) -> Self {
        Self {
            process,
            vm_id: String::new(),
            streams: BTreeMap::new(),
            connections: BTreeMap::new(),
            current: 0,
            configuration: None,
            downstream: None,
            headers: None,
            metric_ids: BTreeMap::new(),
            next_metric: [0; 3],
            tick_periods: BTreeMap::new(),
            tally: Tally::default(),
            logs: Vec::new(),
            asked: None,
            interference: None,
        }
    }

    /// The answer to a property path in ABI form, from the stream, its connection, the listener or the node, in this
    /// order.
    pub fn property(&self, path: &[u8]) -> Answer {
        if path == b"plugin_vm_id" {
            return Answer::Bytes(self.vm_id.as_bytes().to_vec());
        }
        let stream = self.streams.get(&self.current);
        let connection = stream
            .and_then(|stream| stream.connection)
            .and_then(|number| self.connections.get(&number));
        let listener = self.process.listener.borrow();
        let node = self.process.node.borrow();
        stream
            .and_then(|stream| stream.facts.get(path))
            .or_else(|| connection.and_then(|connection| connection.facts.get(path)))
            .or_else(|| connection.and_then(|_| listener.get(path)))
            .or_else(|| node.get(path))
            .cloned()
            .unwrap_or(Answer::Refused(Status::NOT_FOUND))
    }

    /// The facts that hold properties set by the current context. `None` for a root context.
    pub fn own_facts(&mut self) -> Option<&mut Facts> {
        let stream = self.streams.get_mut(&self.current)?;
        if stream.is_request {
            return Some(&mut stream.facts);
        }
        let connection = self.connections.get_mut(&stream.connection?)?;
        Some(&mut connection.facts)
    }

    /// Assigns an id as Envoy does: the kind is in the two low bits, so the first counter has the id 0.
    ///
    /// <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/extensions/common/wasm/context.h> (`kMetricIdIncrement`).
    pub fn define(&mut self, kind: Kind, name: &[u8]) -> u32 {
        let slot = kind as usize;
        let id = self.next_metric[slot] * 4 + kind as u32;
        self.next_metric[slot] += 1;
        self.process.metrics.define(kind, name);
        self.metric_ids.insert(id, (kind, name.to_vec()));
        id
    }
}
