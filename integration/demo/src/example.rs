//! The documented Envoy configuration, adapted for the demo.

use anyhow::Context;
use plainsight_harness::envoy::Configuration;
use serde_json::Value;

use crate::places::Places;

/// The folder of the example.
pub const FOLDER: &str = "envoy-config/envoy";

const SERVER: &str = include_str!("../../../envoy-config/envoy/server-sidecar.yaml");
const CLIENT: &str = include_str!("../../../envoy-config/envoy/client-sidecar.yaml");

/// One file of the example, relocated.
pub struct Example {
    concurrency: u32,
    bootstrap: Value,
    listeners: Vec<Value>,
}

impl Example {
    /// `server-sidecar.yaml`.
    ///
    /// # Errors
    /// The file is not the expected YAML, or names a port or file that is not in `places`.
    pub fn server(places: &Places) -> anyhow::Result<Self> {
        // Two workers, so the demo's counts are sums over workers.
        Self::read("server-sidecar.yaml", SERVER, 2, places)
    }

    /// `client-sidecar.yaml`.
    ///
    /// # Errors
    /// As [`Example::server`].
    pub fn client(places: &Places) -> anyhow::Result<Self> {
        Self::read("client-sidecar.yaml", CLIENT, 1, places)
    }

    fn read(file: &str, text: &str, concurrency: u32, places: &Places) -> anyhow::Result<Self> {
        Self::in_places(text, concurrency, places).with_context(|| format!("{FOLDER}/{file}"))
    }

    fn in_places(text: &str, concurrency: u32, places: &Places) -> anyhow::Result<Self> {
        let mut bootstrap: Value = serde_yaml_ng::from_str(text)?;
        // The harness gives each Envoy its own admin port and serves the listeners by LDS.
        let fields = bootstrap.as_object_mut().context("expected a mapping")?;
        fields.remove("admin").context("admin: missing")?;
        places.relocate(&mut bootstrap)?;
        let listeners = bootstrap["static_resources"]["listeners"].take();
        let listeners = listeners
            .as_array()
            .context("static_resources.listeners: expected a list")?
            .clone();
        if let Some(resources) = bootstrap["static_resources"].as_object_mut() {
            resources.remove("listeners");
        }
        Ok(Self {
            concurrency,
            bootstrap,
            listeners,
        })
    }
}

impl Configuration for Example {
    fn bootstrap(&self) -> Value {
        self.bootstrap.clone()
    }
    fn listeners(&self) -> Vec<Value> {
        self.listeners.clone()
    }
    fn concurrency(&self) -> u32 {
        self.concurrency
    }
}
