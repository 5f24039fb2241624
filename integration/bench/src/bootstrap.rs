//! The measured Envoy's configuration: one listener for each chain and filter, on any free loopback port.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use plainsight_harness::envoy::Configuration;
use plainsight_harness::pki::Mesh;
use serde_json::{Value, json};

use crate::variant::{Chain, Filter, Listener};

/// The path that every listener answers itself, without a backend.
pub const DIRECT: &str = "/";

/// The path that the backend answers with 1 MiB.
pub const LARGE: &str = "/large";

const LUA: &str = include_str!("../filters/peer.lua");

/// The Wasm modules, as files that Envoy reads.
#[derive(Clone, Debug)]
pub struct Modules {
    /// plainsight.
    pub plainsight: PathBuf,
    /// Another build of plainsight to compare with.
    pub before: Option<PathBuf>,
    /// The SDK's empty filter.
    pub empty: PathBuf,
}

impl Modules {
    /// The modules that `PLAINSIGHT_WASM` and `PLAINSIGHT_BENCH_FILTERS` name.
    ///
    /// # Errors
    /// A variable is missing, or a file.
    pub fn from_environment() -> Result<Self> {
        let filters = named("PLAINSIGHT_BENCH_FILTERS")?;
        let modules = Self {
            plainsight: plainsight_harness::module_path()?,
            before: None,
            empty: filters.join("bench_empty.wasm"),
        };
        ensure!(
            modules.empty.is_file(),
            "{}: no such file: run `make bench-filters`",
            modules.empty.display()
        );
        Ok(modules)
    }
}

impl Modules {
    /// The other build, or plainsight itself if there is none.
    fn other_build(&self) -> &Path {
        self.before.as_ref().unwrap_or(&self.plainsight)
    }
}

/// The path in this environment variable, made absolute.
fn named(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).with_context(|| {
        format!(
            "{variable}: expected a path, got nothing: `make bench` and `make test ONLY=bench` set it"
        )
    })?;
    Ok(std::path::absolute(path)?)
}

/// The upstreams of requests and bytes that the listeners do not answer themselves.
#[derive(Clone, Copy, Debug)]
pub struct Backends {
    /// Answers HTTP/1.1 with 1 MiB.
    pub large: SocketAddr,
    /// Discards bytes.
    pub sink: SocketAddr,
    /// Sends bytes without end.
    pub source: SocketAddr,
}

/// The configuration of the measured Envoy.
pub struct Bench<'a> {
    /// Its listeners.
    pub listeners: &'a [Listener],
    /// The filters' modules.
    pub modules: &'a Modules,
    /// The clusters behind it.
    pub backends: Backends,
    /// The certificates of the mutual TLS listeners.
    pub mesh: &'a Mesh,
    /// The CPU to pin it to, if any.
    pub cpu: Option<usize>,
    /// Worker threads.
    pub workers: u32,
}

impl Configuration for Bench<'_> {
    fn bootstrap(&self) -> Value {
        json!({
            "node": {
                "id": "bench", "cluster": "bench",
                "metadata": {"WORKLOAD_NAME": "bench", "NAMESPACE": "bench"},
            },
            "static_resources": {"clusters": [
                cluster("large", self.backends.large),
                cluster("sink", self.backends.sink),
                cluster("source", self.backends.source),
            ]},
        })
    }
    fn listeners(&self) -> Vec<Value> {
        let listener = |listener| listener_config(listener, self.modules, self.mesh);
        self.listeners.iter().copied().map(listener).collect()
    }
    fn concurrency(&self) -> u32 {
        self.workers
    }
    fn cpu(&self) -> Option<usize> {
        self.cpu
    }
}

fn address(socket: SocketAddr) -> Value {
    json!({"socket_address": {"address": socket.ip().to_string(), "port_value": socket.port()}})
}

fn cluster(name: &str, endpoint: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "60s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(endpoint)}}]}],
        },
    })
}

fn listener_config(listener: Listener, modules: &Modules, mesh: &Mesh) -> Value {
    let name = listener.to_string();
    let mut filters = network_filters(listener, modules);
    filters.push(match listener.chain {
        Chain::TcpUpload => tcp_proxy(&name, "sink"),
        Chain::TcpDownload => tcp_proxy(&name, "source"),
        Chain::Plaintext | Chain::MutualTls | Chain::Callers(_) | Chain::Open => {
            http_connection_manager(&name, http_filters(listener, modules))
        }
    });
    let mut chain = json!({"filters": filters});
    if listener.chain == Chain::MutualTls {
        chain["transport_socket"] = tls(mesh);
    }
    json!({
        "name": name,
        "address": address(SocketAddr::from(([127, 0, 0, 1], 0))),
        // plainsight counts inbound listeners only.
        "traffic_direction": "INBOUND",
        "filter_chains": [chain],
    })
}

fn tls(mesh: &Mesh) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": mesh.server.certificate_pem},
                    "private_key": {"inline_string": mesh.server.key_pem},
                }],
                "validation_context": {"trusted_ca": {"inline_string": mesh.authority.pem()}},
            },
        },
    })
}

fn tcp_proxy(name: &str, cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": cluster,
        },
    })
}

fn http_connection_manager(name: &str, http_filters: Vec<Value>) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "codec_type": "AUTO",
            // As istiod writes it for inbound listeners.
            "use_remote_address": false,
            "route_config": {
                "name": name,
                "virtual_hosts": [{
                    "name": "bench",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"path": LARGE}, "route": {"cluster": "large", "timeout": "60s"}},
                        {
                            "match": {"prefix": DIRECT},
                            "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
                        },
                    ],
                }],
            },
            "http_filters": http_filters,
        },
    })
}

fn network_filters(listener: Listener, modules: &Modules) -> Vec<Value> {
    let wasm = |module: &Path| {
        let name = "plainsight-network";
        vec![json!({
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
                "config": plugin(listener, name, module),
            },
        })]
    };
    match listener.filter {
        Filter::NetworkOnly | Filter::Both => wasm(&modules.plainsight),
        Filter::Before => wasm(modules.other_build()),
        Filter::None | Filter::SdkEmpty | Filter::Lua => vec![],
    }
}

fn http_filters(listener: Listener, modules: &Modules) -> Vec<Value> {
    let wasm = |name: &str, module: &Path| {
        json!({
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": plugin(listener, name, module),
            },
        })
    };
    let lua = json!({
        "name": "lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": LUA},
        },
    });
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    });
    let mut filters = match listener.filter {
        Filter::None | Filter::NetworkOnly => vec![],
        Filter::SdkEmpty => vec![wasm("empty", &modules.empty)],
        Filter::Lua => vec![lua],
        Filter::Both => vec![wasm("plainsight-http", &modules.plainsight)],
        Filter::Before => vec![wasm("plainsight-http", modules.other_build())],
    };
    filters.push(router);
    filters
}

/// A plugin's configuration, with plainsight's defaults. Both plugins of a listener name the same VM and the same
/// module, as under Istio, so Envoy gives them one VM per worker.
fn plugin(listener: Listener, name: &str, module: &Path) -> Value {
    json!({
        "name": name,
        "root_id": name,
        "failure_policy": "FAIL_OPEN",
        "vm_config": {
            "vm_id": listener.to_string(),
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": module}},
        },
    })
}
