//! A client's sidecar: plaintext in, mutual TLS with Istio's ALPN out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::{socket_address, static_cluster};
use super::{CHAIN_ALPN, stats_config};
use crate::pki::Mesh;
use crate::ports::ReservedPort;

/// A client's sidecar with one outbound listener that carries bytes to one destination.
///
/// The ALPN is the one that istiod's ALPN filter sets for the client's protocol: `istio-http/1.1`, `istio-h2` or, for
/// bytes, `istio-peer-exchange`. The listener always proxies TCP, so any HTTP version passes unchanged.
#[derive(Clone)]
pub struct ClientSidecar {
    /// The certificates; the client's identity is [`Mesh::client`].
    pub mesh: Arc<Mesh>,
    /// The address of the server's sidecar.
    pub destination: SocketAddr,
    /// The source address of its connections.
    pub source: IpAddr,
    /// ALPN names it offers.
    pub alpn: Vec<String>,
    reserved: ReservedPort,
}

impl ClientSidecar {
    /// A sidecar that offers `istio-http/1.1`, from `source` to `destination`.
    ///
    /// # Errors
    /// No free port.
    pub fn new(mesh: Arc<Mesh>, source: IpAddr, destination: SocketAddr) -> anyhow::Result<Self> {
        let alpn = vec![
            "istio-http/1.1".to_owned(),
            "istio".to_owned(),
            "http/1.1".to_owned(),
        ];
        Ok(Self {
            mesh,
            destination,
            source,
            alpn,
            reserved: ReservedPort::take()?,
        })
    }

    /// The same sidecar for bytes that are not HTTP.
    pub fn carrying_bytes(mut self) -> Self {
        self.alpn = CHAIN_ALPN
            .mtls_tcp
            .iter()
            .map(ToString::to_string)
            .collect();
        self
    }

    /// The address that the client's application connects to.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.reserved.number()).into()
    }

    /// Its one listener.
    pub fn listeners(&self) -> Vec<Value> {
        vec![json!({
            "name": "outbound",
            "address": socket_address(self.address()),
            "traffic_direction": "OUTBOUND",
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "outbound",
                    "cluster": "outbound",
                },
            }]}],
        })]
    }

    /// The bootstrap without `admin`, `dynamic_resources` and the listeners.
    pub fn bootstrap(&self) -> Value {
        let mut cluster = static_cluster("outbound", self.destination);
        cluster["upstream_bind_config"] =
            json!({"source_address": {"address": self.source.to_string(), "port_value": 0}});
        cluster["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                // istiod's outbound SNI: https://istio.io/latest/docs/ops/configuration/traffic-management/tls-configuration/
                "sni": "outbound_.80_._.orders.legacy.svc.cluster.local",
                "common_tls_context": {
                    "alpn_protocols": self.alpn,
                    "tls_certificates": [{
                        "certificate_chain": {"inline_string": self.mesh.client.certificate_pem},
                        "private_key": {"inline_string": self.mesh.client.key_pem},
                    }],
                    "validation_context": {"trusted_ca": {"inline_string": self.mesh.authority.pem()}},
                },
            },
        });
        json!({
            "node": {"id": "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local", "cluster": "web.shop",
                     "metadata": {"WORKLOAD_NAME": "web", "NAMESPACE": "shop"}},
            "stats_config": stats_config(),
            "static_resources": {"clusters": [cluster]},
        })
    }
}
