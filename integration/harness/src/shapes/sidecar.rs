//! A server's sidecar: its ports, mode and plugins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Mode, Plugin, Protocol, static_cluster, stats_config};
use crate::pki::Mesh;
use crate::ports::ReservedPort;

/// A port of the workload: reserved on loopback, with the application upstream.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its declared protocol; [`Protocol::Auto`] if undeclared.
    pub protocol: Protocol,
    /// Whether a Service declares it.
    pub declared: bool,
    /// The application.
    pub app: SocketAddr,
    /// `portLevelMtls`: the mode of this port only.
    pub mode: Option<Mode>,
    /// Whether its TLS requires a client certificate under PERMISSIVE: always in istiod's own modes, never if a Sidecar
    /// resource configures a server certificate (`ingress.tls.mode: SIMPLE`).
    pub require_client_certificate: bool,
    /// Network filters of this port, ahead of the sidecar's own.
    pub network_filters_first: Vec<Value>,
    /// Network filters of this port, after the plugins and ahead of the last filter.
    pub network_filters_last: Vec<Value>,
    reserved: ReservedPort,
}

impl Port {
    /// A port that a Service declares.
    ///
    /// # Errors
    /// No free port.
    pub fn declared(protocol: Protocol, app: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            protocol,
            declared: true,
            app,
            mode: None,
            require_client_certificate: true,
            network_filters_first: Vec::new(),
            network_filters_last: Vec::new(),
            reserved: ReservedPort::take()?,
        })
    }

    /// A port that no Service declares.
    ///
    /// # Errors
    /// No free port.
    pub fn undeclared(app: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            declared: false,
            ..Self::declared(Protocol::Auto, app)?
        })
    }

    /// The same port in another mode.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.reserved.number()
    }

    /// Its number as a value of the label `destination_port`.
    pub fn label(&self) -> String {
        self.number().to_string()
    }

    /// Its IPv4 address.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number()).into()
    }

    /// Its loopback address of the same family as `source`.
    pub fn address_for(&self, source: IpAddr) -> SocketAddr {
        match source {
            IpAddr::V4(_) => self.address(),
            IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, self.number()).into(),
        }
    }

    pub(super) fn listener_name(&self) -> String {
        format!("127.0.0.1_{}", self.number())
    }

    pub(super) fn cluster_name(&self) -> String {
        if self.declared {
            format!("inbound|{}||", self.number())
        } else {
            "InboundPassthroughCluster".to_owned()
        }
    }
}

/// A server's sidecar. Every field is public, so a test can change one.
#[derive(Clone)]
pub struct Sidecar {
    /// The mode of the namespace.
    pub mode: Mode,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Its certificates.
    pub mesh: Arc<Mesh>,
    /// NETWORK plugins, in order, on every chain.
    pub network_plugins: Vec<Plugin>,
    /// HTTP plugins, in order.
    pub http_plugins: Vec<Plugin>,
    /// Network filters ahead of the plugins.
    pub network_filters_first: Vec<Value>,
    /// Network filters between the plugins and the last one, where istiod puts RBAC.
    pub network_filters_last: Vec<Value>,
    /// HTTP filters ahead of the plugins.
    pub http_filters_first: Vec<Value>,
    /// HTTP filters between the plugins and the router.
    pub http_filters_last: Vec<Value>,
    /// `INBOUND`, as istiod sets it; a test may set `OUTBOUND`.
    pub traffic_direction: String,
    /// Node metadata from `proxyMetadata` and the injector.
    pub node_metadata: Value,
    /// Worker threads.
    pub concurrency: u32,
}

impl Sidecar {
    /// A sidecar of the workload `orders` in the namespace `legacy`, without plugins and with one worker.
    ///
    /// # Errors
    /// No certificates.
    pub fn new(mode: Mode, ports: Vec<Port>) -> anyhow::Result<Self> {
        Ok(Self {
            mode,
            ports,
            mesh: Arc::new(Mesh::new()?),
            network_plugins: Vec::new(),
            http_plugins: Vec::new(),
            network_filters_first: Vec::new(),
            network_filters_last: Vec::new(),
            http_filters_first: Vec::new(),
            http_filters_last: Vec::new(),
            traffic_direction: "INBOUND".to_owned(),
            node_metadata: json!({"WORKLOAD_NAME": "orders", "NAMESPACE": "legacy"}),
            concurrency: 1,
        })
    }

    /// The same sidecar with both plugins of plainsight and one configuration.
    ///
    /// # Errors
    /// `PLAINSIGHT_WASM` names no module.
    pub fn with_plainsight(mut self, configuration: Value) -> anyhow::Result<Self> {
        self.network_plugins.push(Plugin::plainsight(
            "legacy.plainsight-network",
            &configuration,
        )?);
        self.http_plugins.push(Plugin::plainsight(
            "legacy.plainsight-http",
            &configuration,
        )?);
        Ok(self)
    }

    /// The same sidecar with this number of worker threads.
    pub fn with_concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The same sidecar in another mode, with the same ports, certificates and plugins.
    pub fn in_mode(&self, mode: Mode) -> Self {
        Self {
            mode,
            ..self.clone()
        }
    }

    /// The listeners, as the resources of an LDS response.
    pub fn listeners(&self) -> Vec<Value> {
        self.ports
            .iter()
            .map(|port| super::listener::listener(self, port))
            .collect()
    }

    /// The bootstrap without `admin`, `dynamic_resources` and the listeners, which [`crate::envoy::Envoy`] adds.
    pub fn bootstrap(&self) -> Value {
        let mut clusters: Vec<Value> = Vec::new();
        for port in &self.ports {
            if !clusters
                .iter()
                .any(|cluster| cluster["name"] == port.cluster_name())
            {
                clusters.push(static_cluster(&port.cluster_name(), port.app));
            }
        }
        json!({
            "node": {
                "id": "sidecar~127.0.0.1~orders-1.legacy~legacy.svc.cluster.local",
                "cluster": "orders.legacy",
                "metadata": self.node_metadata,
            },
            "stats_config": stats_config(),
            "static_resources": {"clusters": clusters},
        })
    }
}
