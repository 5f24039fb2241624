//! One worker's VM: Envoy's calls into the module, in Envoy's order.
//!
//! Callbacks that the module does not export are skipped, and all are skipped after a trap, as in Envoy under FAIL_OPEN:
//! <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/context.cc>.

use crate::{
    facts::{Answer, Connection, Headers, Request},
    host_state::{HostState, Interference, Map, Stream},
    tally::Tally,
};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use wasmi::{Extern, Func, Instance, Store, Val};

/// The allocator's names, in Envoy's order of preference.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// The bytes of one page of linear memory.
const PAGE: u64 = 65_536;

/// A plugin in one VM: its root context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plugin {
    root: u32,
    /// The result of `proxy_on_configure`. Envoy would not start with `false`.
    pub configured: bool,
}

/// A connection that a worker accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    number: u64,
    network: Option<u32>,
}

/// The side that closes a connection, with the numbers of Envoy's `PeerType`.
///
/// <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/extensions/common/wasm/context.cc> (`onEvent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Envoy itself, for example because the application is down.
    Envoy = 1,
    /// The peer.
    Client = 2,
}

/// An open request, and the headers that the application receives.
#[derive(Clone, Debug)]
pub struct Exchange {
    context: u32,
    /// The request headers after the filter.
    pub headers: Headers,
}

impl Exchange {
    /// All values of a header, as text.
    pub fn values(&self, name: &str) -> Vec<String> {
        header_values(&self.headers, name)
    }
}

/// All values of a header, as text.
pub fn header_values(headers: &Headers, name: &str) -> Vec<String> {
    headers
        .iter()
        .filter(|(held, _)| held == name.as_bytes())
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// A VM with its plugins and streams.
pub struct Vm {
    store: Store<HostState>,
    instance: Instance,
    functions: BTreeMap<&'static str, Option<Func>>,
    next_context: u32,
    next_connection: u64,
    roots: Vec<u32>,
    trapped: bool,
}

impl Vm {
    pub(crate) fn start(store: Store<HostState>, instance: Instance) -> Result<Self> {
        let mut vm = Self {
            store,
            instance,
            functions: BTreeMap::new(),
            next_context: 1,
            next_connection: 0,
            roots: Vec::new(),
            trapped: false,
        };
        let allocator = ALLOCATORS
            .into_iter()
            .any(|name| vm.function(name).is_some());
        ensure!(
            allocator,
            "module: missing export: {}",
            ALLOCATORS.join(" or ")
        );
        vm.enter("_initialize", 0, &[])?;
        Ok(vm)
    }

    fn function(&mut self, name: &'static str) -> Option<Func> {
        let (store, instance) = (&self.store, &self.instance);
        *self
            .functions
            .entry(name)
            .or_insert_with(|| instance.get_export(store, name).and_then(Extern::into_func))
    }

    /// Runs one callback for `context`. `None` if it is not exported, or the VM trapped earlier.
    fn enter(&mut self, name: &'static str, context: u32, rest: &[u32]) -> Result<Option<u32>> {
        if self.trapped {
            return Ok(None);
        }
        let Some(function) = self.function(name) else {
            return Ok(None);
        };
        let with_context = (name != "_initialize").then_some(context);
        let arguments: Vec<Val> = with_context
            .iter()
            .chain(rest)
            .map(|number| Val::I32(number.cast_signed()))
            .collect();
        let returns = function.ty(&self.store).results().len();
        let mut results = vec![Val::I32(0); returns];
        let state = self.store.data_mut();
        state.current = context;
        *state.tally.entries.entry(name).or_insert(0) += 1;
        let outcome = function.call(&mut self.store, &arguments, &mut results);
        self.store.data_mut().current = 0;
        if let Err(trap) = outcome {
            self.trapped = true;
            return Err(trap).with_context(|| format!("{name}: trapped"));
        }
        let result = results.first().and_then(Val::i32).unwrap_or_default();
        Ok(Some(result.cast_unsigned()))
    }

    /// Runs a callback of a stream, which must return Continue.
    fn stream(&mut self, name: &'static str, context: u32, rest: &[u32]) -> Result<()> {
        let action = self.enter(name, context, rest)?.unwrap_or_default();
        ensure!(action == 0, "{name}: action: not Continue (0): {action}");
        Ok(())
    }

    fn context(&mut self, parent: u32, stream: Stream) -> Result<u32> {
        let context = self.next_context;
        self.next_context += 1;
        self.store.data_mut().streams.insert(context, stream);
        self.enter("proxy_on_context_create", context, &[parent])?;
        Ok(context)
    }

    /// Starts a plugin with its configuration: a root context, then `proxy_on_vm_start` and `proxy_on_configure`.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn plugin(&mut self, configuration: impl AsRef<[u8]>) -> Result<Plugin> {
        let bytes = configuration.as_ref().to_vec();
        let size = u32::try_from(bytes.len())?;
        let root = self.context(0, Stream::default())?;
        self.roots.push(root);
        let started = self.enter("proxy_on_vm_start", root, &[0])?.unwrap_or(1);
        self.store.data_mut().configuration = Some(bytes);
        let configured = self.enter("proxy_on_configure", root, &[size]);
        self.store.data_mut().configuration = None;
        Ok(Plugin {
            root,
            configured: started != 0 && configured?.unwrap_or(1) != 0,
        })
    }

    /// Ends a plugin, as Envoy does once its last stream is gone.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn retire(&mut self, plugin: Plugin) -> Result<()> {
        self.roots.retain(|root| *root != plugin.root);
        self.store.data_mut().tick_periods.remove(&plugin.root);
        self.end(plugin.root, &["proxy_on_done", "proxy_on_delete"])
    }

    fn end(&mut self, context: u32, callbacks: &[&'static str]) -> Result<()> {
        for callback in callbacks {
            self.enter(callback, context, &[])?;
        }
        self.store.data_mut().streams.remove(&context);
        Ok(())
    }

    /// Accepts a connection that no network plugin sees.
    pub fn accept(&mut self, connection: &Connection) -> Accepted {
        let number = self.next_connection;
        self.next_connection += 1;
        let state = self.store.data_mut();
        let mut connection = connection.clone();
        let id: &[u8] = b"connection\0id";
        if connection.facts.get(id).is_none() {
            let next = &state.process.next_connection;
            let bytes = next.get().to_le_bytes().to_vec();
            next.set(next.get() + 1);
            connection.facts.set_wire(id, Answer::Bytes(bytes));
        }
        state.connections.insert(number, connection);
        let network = None;
        Accepted { number, network }
    }

    /// Accepts a connection and runs the network plugin's `proxy_on_new_connection`.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn open(&mut self, plugin: Plugin, connection: &Connection) -> Result<Accepted> {
        let number = self.accept(connection).number;
        let stream = Stream {
            connection: Some(number),
            ..Stream::default()
        };
        let context = self.context(plugin.root, stream)?;
        self.stream("proxy_on_new_connection", context, &[])?;
        let network = Some(context);
        Ok(Accepted { number, network })
    }

    /// One downstream read. The handshake is complete at the first.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn data(&mut self, accepted: Accepted, bytes: &[u8]) -> Result<()> {
        let state = self.store.data_mut();
        if let Some(connection) = state.connections.get_mut(&accepted.number) {
            let done = std::mem::take(&mut connection.after_handshake);
            connection.facts.extend(&done);
        }
        let Some(context) = accepted.network else {
            return Ok(());
        };
        let size = u32::try_from(bytes.len())?;
        state.downstream = Some(bytes.to_vec());
        let outcome = self.stream("proxy_on_downstream_data", context, &[size, 0]);
        self.store.data_mut().downstream = None;
        outcome
    }

    /// One upstream write, for which the filter has no callback.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn upstream(&mut self, accepted: Accepted, bytes: u32) -> Result<()> {
        accepted.network.map_or(Ok(()), |context| {
            self.stream("proxy_on_upstream_data", context, &[bytes, 0])
        })
    }

    /// The client closes a connection.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn close(&mut self, accepted: Accepted) -> Result<()> {
        self.close_by(ClosedBy::Client, accepted)
    }

    /// Closes a connection: the close callback, then the end of its context.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn close_by(&mut self, side: ClosedBy, accepted: Accepted) -> Result<()> {
        let mut outcome = Ok(());
        if let Some(context) = accepted.network {
            let callback = "proxy_on_downstream_connection_close";
            outcome = self.enter(callback, context, &[side as u32]).map(|_| ());
            let rest = ["proxy_on_done", "proxy_on_log", "proxy_on_delete"];
            outcome = outcome.and(self.end(context, &rest));
        }
        self.store.data_mut().connections.remove(&accepted.number);
        outcome
    }

    /// A request as the HTTP plugin sees it: a context and `proxy_on_request_headers`.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn request(&mut self, plugin: Plugin, on: Accepted, request: &Request) -> Result<Exchange> {
        let stream = Stream {
            facts: request.facts.clone(),
            connection: Some(on.number),
            is_request: true,
        };
        let context = self.context(plugin.root, stream)?;
        let callback = "proxy_on_request_headers";
        let headers = self.with_headers(callback, context, Map::Request, &request.headers)?;
        Ok(Exchange { context, headers })
    }

    /// The response headers after the filter.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn response(&mut self, exchange: &Exchange, headers: &Headers) -> Result<Headers> {
        let callback = "proxy_on_response_headers";
        self.with_headers(callback, exchange.context, Map::Response, headers)
    }

    fn with_headers(
        &mut self,
        callback: &'static str,
        context: u32,
        map: Map,
        headers: &Headers,
    ) -> Result<Headers> {
        let count = u32::try_from(headers.len())?;
        self.store.data_mut().headers = Some((map, headers.clone()));
        let outcome = self.stream(callback, context, &[count, 0]);
        let left = self.store.data_mut().headers.take();
        outcome?;
        Ok(left.map(|(_, headers)| headers).unwrap_or_default())
    }

    /// Request and response body chunks and trailers, for which the filter has no callbacks.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn bodies(&mut self, exchange: &Exchange, chunks: u32) -> Result<()> {
        for callback in ["proxy_on_request_body", "proxy_on_response_body"] {
            for chunk in 0..chunks {
                let last = u32::from(chunk + 1 == chunks);
                self.stream(callback, exchange.context, &[16_384, last])?;
            }
        }
        for callback in ["proxy_on_request_trailers", "proxy_on_response_trailers"] {
            self.stream(callback, exchange.context, &[1])?;
        }
        Ok(())
    }

    /// Ends a request: log, done, delete.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn finish(&mut self, exchange: &Exchange) -> Result<()> {
        let callbacks = ["proxy_on_log", "proxy_on_done", "proxy_on_delete"];
        self.end(exchange.context, &callbacks)
    }

    /// Runs the timer once for every plugin that has one.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn tick(&mut self) -> Result<()> {
        let periods = self.store.data().tick_periods.clone();
        for (root, _) in periods.into_iter().filter(|(_, period)| *period > 0) {
            self.enter("proxy_on_tick", root, &[])?;
        }
        Ok(())
    }

    /// The shortest requested timer period, in milliseconds.
    pub fn tick_period(&self) -> Option<u32> {
        let periods = self.store.data().tick_periods.values().copied();
        periods.filter(|period| *period > 0).min()
    }

    /// The cost of this VM so far.
    pub fn tally(&self) -> Tally {
        let mut tally = self.store.data().tally.clone();
        tally.memory = self
            .instance
            .get_memory(&self.store, "memory")
            .map_or(0, |memory| memory.size(&self.store) * PAGE);
        tally
    }

    /// Returns and clears the log lines so far, each with its level.
    pub fn take_logs(&mut self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.store.data_mut().logs)
    }

    /// Starts to record requested properties, and returns those recorded so far.
    pub fn take_asked(&mut self) -> Vec<String> {
        let asked = &mut self.store.data_mut().asked;
        asked.replace(Vec::new()).unwrap_or_default()
    }

    /// Lets `interference` override host calls from now on; `None` ends it.
    pub fn interfere(&mut self, interference: Option<Interference>) {
        self.store.data_mut().interference = interference;
    }

    /// The instructions executed so far, in the interpreter's units; `None` unless the proxy is metered.
    pub fn instructions(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// Whether a callback trapped, which ends the VM in Envoy.
    pub fn trapped(&self) -> bool {
        self.trapped
    }
}
