//! The usual set-up: the real module in a worker with both plugins, as Istio installs them.

use crate::{
    Accepted, Connection, Exchange, Headers, Plugin, Proxy, Request, Scrape, TagRegexes, Vm,
};
use anyhow::{Context, Result};

/// The environment variable with the path of the module.
const MODULE: &str = "PLAINSIGHT_WASM";

/// Loads the module that `PLAINSIGHT_WASM` names.
///
/// # Errors
///
/// The variable or the file is missing, or Envoy would not load it.
pub fn real_module() -> Result<Proxy> {
    Proxy::load(&real_module_bytes()?)
}

/// The bytes of the module that `PLAINSIGHT_WASM` names.
///
/// # Errors
///
/// The variable or the file is missing.
pub fn real_module_bytes() -> Result<Vec<u8>> {
    let path = std::env::var(MODULE)
        .with_context(|| format!("{MODULE}: not set: run `make test ONLY=wasm-host`"))?;
    std::fs::read(&path).with_context(|| format!("{path}: not readable: run `make build`"))
}

/// One worker of a proxy, with the NETWORK and the HTTP plugin in one VM.
pub struct Sidecar {
    /// The process.
    pub proxy: Proxy,
    /// The worker.
    pub vm: Vm,
    /// The plugin that sees connections.
    pub network: Plugin,
    /// The plugin that sees requests.
    pub http: Plugin,
}

impl Sidecar {
    /// The real module, configured with `configuration`.
    ///
    /// # Errors
    ///
    /// No module, or a trap.
    pub fn start(configuration: &str) -> Result<Self> {
        Self::on(real_module()?, configuration)
    }

    /// A worker of `proxy`; clones of `proxy` share the process.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn on(proxy: Proxy, configuration: &str) -> Result<Self> {
        let vm = proxy.worker()?;
        Self::in_vm(proxy, vm, configuration)
    }

    /// An existing worker of `proxy`.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn in_vm(proxy: Proxy, mut vm: Vm, configuration: &str) -> Result<Self> {
        let network = vm.plugin(configuration)?;
        let http = vm.plugin(configuration)?;
        Ok(Self {
            proxy,
            vm,
            network,
            http,
        })
    }

    /// A connection with one request, closed by the client.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn call(&mut self, connection: &Connection) -> Result<()> {
        let accepted = self.connect(connection)?;
        self.ask(accepted, &Request::get("curl"))?;
        self.vm.close(accepted)
    }

    /// Replaces both plugins: Envoy starts the new ones before the old ones have drained.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn reconfigure(&mut self, configuration: &str) -> Result<()> {
        let old = [self.network, self.http];
        self.network = self.vm.plugin(configuration)?;
        self.http = self.vm.plugin(configuration)?;
        old.into_iter()
            .try_for_each(|plugin| self.vm.retire(plugin))
    }

    /// Accepts a connection and reads from it once, which makes the filter classify it.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn connect(&mut self, connection: &Connection) -> Result<Accepted> {
        let accepted = self.vm.open(self.network, connection)?;
        self.vm.data(accepted, b"GET / HTTP/1.1\r\n")?;
        Ok(accepted)
    }

    /// A complete request on a connection: read, headers in both directions, bodies, end.
    ///
    /// # Errors
    ///
    /// A trap, or an action that is not Continue.
    pub fn ask(&mut self, on: Accepted, request: &Request) -> Result<Answered> {
        self.vm.data(on, b"GET / HTTP/1.1\r\n")?;
        let exchange = self.vm.request(self.http, on, request)?;
        let status = (b":status".to_vec(), b"200".to_vec());
        let response = self.vm.response(&exchange, &vec![status])?;
        self.vm.bodies(&exchange, 3)?;
        self.vm.finish(&exchange)?;
        Ok(Answered { exchange, response })
    }

    /// Advances the clock by `seconds` and runs the timer.
    ///
    /// # Errors
    ///
    /// A trap.
    pub fn tick_after(&mut self, seconds: u64) -> Result<()> {
        self.proxy.advance(seconds);
        self.vm.tick()
    }

    /// The metrics as a stock sidecar exposes them.
    ///
    /// # Errors
    ///
    /// See [`Scrape::of`].
    pub fn scrape(&self) -> Result<Scrape> {
        Scrape::of(self.proxy.metrics(), &TagRegexes::stock()?)
    }
}

/// A completed request.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The request as the application saw it.
    pub exchange: Exchange,
    /// The response's headers as the caller saw them.
    pub response: Headers,
}
