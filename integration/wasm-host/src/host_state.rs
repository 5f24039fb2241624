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

/// What all VMs of one proxy share.
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

/// Decides what a host call answers instead of doing its work: called with the import's name.
pub type Interference = Box<dyn FnMut(&'static str) -> Option<Interfered>>;

/// An answer that is not the host's own.
#[derive(Clone, Debug)]
pub enum Interfered {
    /// This status, nothing written.
    Status(Status),
    /// Status Ok and these bytes, where the call hands bytes over; other calls go on as usual.
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
    /// The context whose callback runs; 0 when none does.
    pub current: u32,
    /// A plugin's configuration, while `proxy_on_configure` runs.
    pub configuration: Option<Vec<u8>>,
    /// The bytes that a downstream read brought, while it is handled.
    pub downstream: Option<Vec<u8>>,
    /// The headers that may be touched, while their callback runs.
    pub headers: Option<(Map, Headers)>,
    pub metric_ids: BTreeMap<u32, (Kind, Vec<u8>)>,
    pub next_metric: [u32; 3],
    pub tick_periods: BTreeMap<u32, u32>,
    pub tally: Tally,
    pub logs: Vec<(u32, String)>,
    /// Property paths in the order they were asked for, elements joined by dots; kept when `Some`.
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

    /// The answer to a property path in its form on the wire: the stream's own, its connection's,
    /// the listener's, the node's.
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

    /// Where a property goes that the context at hand sets. `None` for a root.
    pub fn own_facts(&mut self) -> Option<&mut Facts> {
        let stream = self.streams.get_mut(&self.current)?;
        if stream.is_request {
            return Some(&mut stream.facts);
        }
        let connection = self.connections.get_mut(&stream.connection?)?;
        Some(&mut connection.facts)
    }

    /// Hands out an id as Envoy does: the kind in the two low bits, so that the first counter has the id 0.
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
