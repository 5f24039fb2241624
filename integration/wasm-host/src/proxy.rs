//! One Envoy process: its module, and the state that its workers share.

use crate::{
    facts::Facts,
    host_state::{HostState, Process},
    imports,
    metric_store::MetricStore,
    vm::Vm,
};
use anyhow::{Context, Result, ensure};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use wasmi::{Config, Engine, Linker, Module, Store};

/// The export that declares the ABI of a module.
const ABI: &str = "proxy_abi_version_0_2_1";

/// A process that runs one module on any number of workers. A clone is the same process.
#[derive(Clone)]
pub struct Proxy {
    module: Module,
    linker: Linker<HostState>,
    process: Process,
}

impl Proxy {
    /// Compiles `wasm` (binary or text format) for a sidecar of the workload `web` in namespace `shop` with an inbound
    /// listener, under the property names of Envoy 1.33 and later. The clock starts at 2026-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// The bytes are not a module, or its ABI is not 0.2.1.
    pub fn load(wasm: &[u8]) -> Result<Self> {
        Self::load_in(&Engine::default(), wasm)
    }

    /// The same, with VMs that count the instructions they execute: see [`Vm::instructions`]. Slower.
    ///
    /// # Errors
    ///
    /// As [`Proxy::load`].
    pub fn load_metered(wasm: &[u8]) -> Result<Self> {
        let mut config = Config::default();
        config.consume_fuel(true);
        Self::load_in(&Engine::new(&config), wasm)
    }

    fn load_in(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let module = Module::new(engine, wasm).context("module: not valid WebAssembly")?;
        ensure!(
            module.get_export(ABI).is_some(),
            "module: missing export: {ABI}"
        );
        let mut linker = Linker::new(engine);
        imports::offer(&mut linker)?;
        let process = Process {
            metrics: MetricStore::default(),
            clock: Rc::new(Cell::new(1_767_225_600_000_000_000)),
            node: Rc::new(RefCell::new(Facts::node("web", "shop"))),
            listener: Rc::new(RefCell::new(Facts::listener(1))),
            next_connection: Rc::new(Cell::new(0)),
        };
        Ok(Self {
            module,
            linker,
            process,
        })
    }

    /// The same module in a separate process: shares no state with this one, and is not compiled again.
    pub fn another(&self) -> Self {
        let process = Process {
            metrics: MetricStore::default(),
            clock: Rc::new(Cell::new(self.process.clock.get())),
            node: Rc::new(RefCell::new(self.process.node.borrow().clone())),
            listener: Rc::new(RefCell::new(self.process.listener.borrow().clone())),
            next_connection: Rc::new(Cell::new(0)),
        };
        Self {
            process,
            ..self.clone()
        }
    }

    /// A VM for one worker, initialised and without a plugin.
    ///
    /// # Errors
    ///
    /// An import that Envoy does not offer, no allocator, or a trap while starting.
    pub fn worker(&self) -> Result<Vm> {
        self.worker_of("")
    }

    /// The same for a VM configuration with a `vm_id`: plugins with different ids have separate VMs.
    ///
    /// # Errors
    ///
    /// As [`Proxy::worker`].
    pub fn worker_of(&self, vm_id: &str) -> Result<Vm> {
        let mut state = HostState::new(self.process.clone());
        state.vm_id = vm_id.to_owned();
        let mut store = Store::new(self.module.engine(), state);
        // Fails if fuel is not metered.
        let _ = store.set_fuel(u64::MAX);
        let instance = self
            .linker
            .instantiate_and_start(&mut store, &self.module)
            .context("module: cannot be linked")?;
        Vm::start(store, instance)
    }

    /// The names of the exported functions.
    pub fn exported_functions(&self) -> Vec<String> {
        self.module
            .exports()
            .filter(|export| export.ty().func().is_some())
            .map(|export| export.name().to_owned())
            .collect()
    }

    /// The metrics of all workers together.
    pub fn metrics(&self) -> &MetricStore {
        &self.process.metrics
    }

    /// Replaces the node metadata.
    pub fn set_node(&self, facts: Facts) {
        *self.process.node.borrow_mut() = facts;
    }

    /// Replaces the facts of the listener.
    pub fn set_listener(&self, facts: Facts) {
        *self.process.listener.borrow_mut() = facts;
    }

    /// Advances the clock.
    pub fn advance(&self, seconds: u64) {
        let clock = &self.process.clock;
        clock.set(clock.get() + seconds * 1_000_000_000);
    }

    /// The time in whole seconds since the epoch.
    pub fn seconds(&self) -> u64 {
        self.process.clock.get() / 1_000_000_000
    }
}
