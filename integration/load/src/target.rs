//! The target of the load: an application behind a PERMISSIVE sidecar with four workers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use plainsight_harness::app::App;
use plainsight_harness::envoy::{Configuration, Envoy};
use plainsight_harness::pki::Mesh;
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::Value;

use crate::conversation::Ports;

/// Worker threads of the Envoy under load.
pub const WORKERS: u32 = 4;

/// A sidecar with a configurable drain time for replaced listeners.
#[derive(Clone)]
pub struct Draining {
    /// The sidecar.
    pub sidecar: Sidecar,
    /// `--drain-time-s`.
    pub seconds: u32,
    /// Plugins on a listener of their own, without callers.
    pub beside: Option<Sidecar>,
}

impl Draining {
    /// The module of the plugins, if there are any.
    pub fn module(&self) -> Option<&Path> {
        let plugin = self.sidecar.http_plugins.first();
        plugin.map(|plugin| plugin.module.as_path())
    }
}

impl Configuration for Draining {
    fn bootstrap(&self) -> Value {
        self.sidecar.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        let beside = self.beside.iter().flat_map(Sidecar::listeners);
        self.sidecar.listeners().into_iter().chain(beside).collect()
    }
    fn concurrency(&self) -> u32 {
        self.sidecar.concurrency
    }
    fn drain_seconds(&self) -> u32 {
        self.seconds
    }
}

/// A running Envoy with its application.
pub struct Target {
    /// The Envoy.
    pub envoy: Envoy,
    /// Its configuration at the start.
    pub started: Draining,
    /// Its ports: HTTP first, then TCP ones.
    pub ports: Vec<SocketAddr>,
    app: App,
}

impl Target {
    /// Starts the target with both plugins in this configuration and this number of TCP ports.
    ///
    /// # Errors
    /// `PLAINSIGHT_ENVOY` or `PLAINSIGHT_WASM` is missing, or Envoy does not start.
    pub async fn start(configuration: Value, tcp_ports: usize) -> anyhow::Result<Self> {
        Self::draining(configuration, tcp_ports, 1).await
    }

    /// An Envoy without plainsight.
    ///
    /// # Errors
    /// As [`Target::start`].
    pub async fn bare(tcp_ports: usize) -> anyhow::Result<Self> {
        Self::with(tcp_ports, 1, Ok).await
    }

    /// The same with this drain time for replaced listeners, in seconds.
    ///
    /// # Errors
    /// As [`Target::start`].
    pub async fn draining(
        configuration: Value,
        tcp_ports: usize,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        let plugins = |sidecar: Sidecar| sidecar.with_plainsight(configuration);
        Self::with(tcp_ports, seconds, plugins).await
    }

    async fn with(
        tcp_ports: usize,
        seconds: u32,
        plugins: impl FnOnce(Sidecar) -> anyhow::Result<Sidecar>,
    ) -> anyhow::Result<Self> {
        let app = App::start().await?;
        let mut ports = vec![Port::declared(Protocol::Http, app.address())?];
        for _ in 0..tcp_ports {
            ports.push(Port::declared(Protocol::Tcp, app.address())?);
        }
        let addresses = ports.iter().map(Port::address).collect();
        let sidecar = Sidecar::new(Mode::Permissive, ports)?.with_concurrency(WORKERS);
        let sidecar = plugins(sidecar)?;
        let started = Draining {
            sidecar,
            seconds,
            beside: None,
        };
        let envoy = Envoy::start(&started).await?;
        Ok(Self {
            envoy,
            started,
            ports: addresses,
            app,
        })
    }

    /// The HTTP port and the first TCP port.
    pub fn both(&self) -> Ports {
        Ports {
            http: self.ports[0],
            tcp: self.ports[1],
        }
    }

    /// `current` with the plugins of `next` on a listener beside it, so that Envoy compiles their module now.
    ///
    /// Envoy compiles in the turn of its main loop that reads the new listeners, and starts the drain of the old ones at
    /// the end of that turn. libevent counts the drain from the turn's beginning
    /// (<https://github.com/libevent/libevent/issues/1173>), so on a busy machine compiling takes up the drain.
    ///
    /// # Errors
    /// No free port.
    pub fn with_beside(&self, current: &Draining, next: &Draining) -> anyhow::Result<Draining> {
        let mut beside = next.sidecar.clone();
        beside.ports = vec![Port::declared(Protocol::Http, self.app.address())?];
        Ok(Draining {
            beside: Some(beside),
            ..current.clone()
        })
    }

    /// The mesh's certificates.
    pub fn mesh(&self) -> Arc<Mesh> {
        Arc::clone(&self.started.sidecar.mesh)
    }
}
