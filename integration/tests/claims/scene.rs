//! The usual scene: an application behind a PERMISSIVE sidecar with an HTTP, a TCP and an automatic port.

use plainsight_integration::app::App;
use plainsight_integration::envoy::Envoy;
use plainsight_integration::exposition::Scrape;
use plainsight_integration::pki::Identity;
use plainsight_integration::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::Value;

pub struct Scene {
    pub envoy: Envoy,
    pub sidecar: Sidecar,
    pub http: Port,
    pub tcp: Port,
    pub auto: Port,
    _app: App,
}

impl Scene {
    /// Both plugins with `configuration`.
    pub async fn start(configuration: Value) -> Self {
        Self::bent(|sidecar| *sidecar = sidecar.clone().with_plainsight(configuration).unwrap())
            .await
    }

    /// No plugins, until `bend` adds some.
    pub async fn bent(bend: impl FnOnce(&mut Sidecar)) -> Self {
        let app = App::start().await.unwrap();
        let [http, tcp, auto] = [Protocol::Http, Protocol::Tcp, Protocol::Auto]
            .map(|protocol| Port::declared(protocol, app.address()).unwrap());
        let ports = vec![http.clone(), tcp.clone(), auto.clone()];
        let mut sidecar = Sidecar::new(Mode::Permissive, ports).unwrap();
        bend(&mut sidecar);
        let envoy = Envoy::start(&sidecar).await.unwrap();
        Self {
            envoy,
            sidecar,
            http,
            tcp,
            auto,
            _app: app,
        }
    }

    /// The mesh's own client certificate.
    pub fn client(&self) -> &Identity {
        &self.sidecar.mesh.client
    }

    /// Waits until `metric` with `labels` sums up to `value`; counts of mutual TLS come with the timer.
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
}

/// Listeners with the configuration of each HTTP connection manager bent.
pub fn bend_managers(mut listeners: Vec<Value>, bend: impl Fn(&mut Value)) -> Vec<Value> {
    for listener in &mut listeners {
        for chain in listener["filter_chains"].as_array_mut().unwrap() {
            let last = chain["filters"].as_array_mut().unwrap().last_mut().unwrap();
            let configuration = &mut last["typed_config"];
            if configuration["http_filters"].is_array() {
                bend(configuration);
            }
        }
    }
    listeners
}

pub const CONNECTIONS: &str = "plainsight_connections_total";
pub const REQUESTS: &str = "plainsight_requests_total";
pub const ACTIVE: &str = "plainsight_active_connections";
pub const HEADER: &str = "x-plainsight-peer";

/// What the header says of a plain caller.
pub fn plaintext_from(source: &str) -> String {
    format!("plaintext;strict=reject;source_ip=\"{source}\"")
}

/// What the header says of [`Scene::client`].
pub fn mesh_client() -> String {
    format!(
        "mutual_tls;strict=allow;principal=\"{}\"",
        plainsight_integration::pki::Mesh::CLIENT
    )
}
