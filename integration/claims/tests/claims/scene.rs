//! The usual setup: an application behind a PERMISSIVE sidecar with an HTTP, a TCP and an automatic port.

use std::net::{Ipv4Addr, SocketAddr};

use plainsight_harness::app::App;
use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::Envoy;
use plainsight_harness::eventually::in_time;
use plainsight_harness::exposition::Scrape;
use plainsight_harness::pki::Identity;
use plainsight_harness::ports::ReservedPort;
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Scene {
    pub envoy: Envoy,
    pub sidecar: Sidecar,
    pub http: Port,
    pub tcp: Port,
    pub auto: Port,
    pub app: App,
}

impl Scene {
    /// Both plugins with `configuration`.
    pub async fn start(configuration: Value) -> Self {
        Self::with(|sidecar| *sidecar = sidecar.clone().with_plainsight(configuration).unwrap())
            .await
    }

    /// No plugins unless `change` adds them.
    pub async fn with(change: impl FnOnce(&mut Sidecar)) -> Self {
        let app = App::start().await.unwrap();
        let [http, tcp, auto] = [Protocol::Http, Protocol::Tcp, Protocol::Auto]
            .map(|protocol| Port::declared(protocol, app.address()).unwrap());
        let ports = vec![http.clone(), tcp.clone(), auto.clone()];
        let mut sidecar = Sidecar::new(Mode::Permissive, ports).unwrap();
        change(&mut sidecar);
        let envoy = Envoy::start(&sidecar).await.unwrap();
        Self {
            envoy,
            sidecar,
            http,
            tcp,
            auto,
            app,
        }
    }

    /// The mesh's own client certificate.
    pub fn client(&self) -> &Identity {
        &self.sidecar.mesh.client
    }

    /// The values of the header that the application sees in a request of `caller` to the HTTP port.
    pub async fn header_from(&self, caller: Caller) -> Vec<String> {
        let reply = caller.call(self.http.address()).await.unwrap();
        reply.header_seen_by_app(HEADER)
    }

    /// Waits until `metric` with `labels` sums to `value`.
    pub async fn counted(&self, metric: &str, labels: &[(&str, &str)], value: f64) -> Scrape {
        self.envoy
            .scrape_until(&format!("{metric}{labels:?} is {value}"), |scrape| {
                let sum = scrape.sum(metric, labels);
                anyhow::ensure!(sum == value, "{metric}: {sum}");
                Ok(())
            })
            .await
            .unwrap()
    }

    /// Waits until every accepted connection has closed and the filter's timer has run since, so that a missing count
    /// cannot arrive later. The timer flushes mutual TLS counts: one more such call to the HTTP port proves that it ran.
    pub async fn settled(&self) -> Scrape {
        let port = self.http.label();
        let labels = [("peer", "mutual_tls"), ("destination_port", port.as_str())];
        self.envoy.idle().await.unwrap();
        let before = self.envoy.scrape().await.unwrap();
        let before = before.sum(CONNECTIONS, &labels);
        Caller::http1("127.0.0.1")
            .over_mesh(self.client())
            .call(self.http.address())
            .await
            .unwrap();
        self.envoy
            .scrape_until("one more mutual TLS connection", |scrape| {
                anyhow::ensure!(scrape.sum(CONNECTIONS, &labels) > before);
                Ok(())
            })
            .await
            .unwrap()
    }

    /// Whether this Envoy still has the reason for a failed handshake when the connection closes: 1.37 and later.
    pub async fn has_failure_reasons(&self) -> bool {
        !self.envoy.version().await.unwrap().starts_with("1.36.")
    }
}

/// An application behind a PERMISSIVE sidecar with one HTTP port and both plugins, for tests that start Envoy themselves.
pub async fn one_http_port() -> (App, Port, Sidecar) {
    let app = App::start().await.unwrap();
    let port = Port::declared(Protocol::Http, app.address()).unwrap();
    let sidecar = Sidecar::new(Mode::Permissive, vec![port.clone()]).unwrap();
    let plugins = serde_json::json!({});
    (app, port, sidecar.with_plainsight(plugins).unwrap())
}

/// An address of 127.0.0.1 without a listener, and the reservation that keeps it free.
pub fn application_down() -> (SocketAddr, ReservedPort) {
    let reserved = ReservedPort::take().unwrap();
    ((Ipv4Addr::LOCALHOST, reserved.number()).into(), reserved)
}

/// Sends `bytes` and reads until the other side closes.
pub async fn send_and_wait_for_close(caller: &Caller, port: &Port, bytes: &[u8]) {
    let mut stream = caller.tcp(port.address()).await.unwrap();
    let mut received = Vec::new();
    in_time("the other side closes", async {
        // Both fail if the connection was already reset, which counts as closed.
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut received).await;
        Ok(())
    })
    .await
    .unwrap();
}

/// Listeners with the configuration of each HTTP connection manager changed.
pub fn change_managers(mut listeners: Vec<Value>, change: impl Fn(&mut Value)) -> Vec<Value> {
    for listener in &mut listeners {
        for chain in listener["filter_chains"].as_array_mut().unwrap() {
            let last = chain["filters"].as_array_mut().unwrap().last_mut().unwrap();
            let configuration = &mut last["typed_config"];
            if configuration["http_filters"].is_array() {
                change(configuration);
            }
        }
    }
    listeners
}

pub const ATTRIBUTE_ERRORS: &str = "plainsight_attribute_errors_total";
pub const CONFIG_ERRORS: &str = "plainsight_config_errors";
pub const CONNECTIONS: &str = "plainsight_connections_total";
pub const HANDSHAKE_FAILURES: &str = "plainsight_handshake_failures_total";
pub const LAST_SEEN: &str = "plainsight_last_seen_timestamp_seconds";
pub const OVERFLOW: &str = "plainsight_overflow_total";
pub const REQUESTS: &str = "plainsight_requests_total";
pub const HEADER: &str = "x-plainsight-peer";

/// The header's value for a plaintext caller.
pub fn plaintext_from(source: &str) -> String {
    format!("plaintext;strict=reject;source_ip=\"{source}\"")
}

/// The header's value for [`Scene::client`].
pub fn mesh_client() -> String {
    format!(
        "mutual_tls;strict=allow;principal=\"{}\"",
        plainsight_harness::pki::Mesh::CLIENT
    )
}
