//! The real Envoys: four workloads in three namespaces, in both label forms, one of them with a faulty configuration.

use std::net::SocketAddr;

use plainsight::metrics::LABELS;
use plainsight_harness::app::App;
use plainsight_harness::envoy::Envoy;
use plainsight_harness::pki::Identity;
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::{Value, json};

/// One Envoy with its place in the cluster.
pub struct Pod {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its workload; the pod is called `<workload>-1`.
    pub workload: &'static str,
    /// Its ports in the order of [`Sidecars::start`].
    pub ports: Vec<Port>,
    /// A certificate that it trusts.
    pub client: Identity,
    envoy: Envoy,
}

impl Pod {
    /// Where Prometheus finds its series.
    pub fn admin(&self) -> SocketAddr {
        self.envoy.admin_address()
    }
}

/// All of them; they end when dropped.
pub struct Sidecars {
    /// shop/web: HTTP, TCP, an exempt HTTP port, and an HTTP port that has only callers with mutual TLS.
    pub web: Pod,
    /// bank/ledger: `labels: native`, one HTTP port.
    pub ledger: Pod,
    /// bank/vault: may name one caller only, and its configuration has an unknown key.
    pub vault: Pod,
    /// quiet/api: one HTTP port, callers with mutual TLS only.
    pub api: Pod,
    _app: App,
}

impl Sidecars {
    /// Starts the application and the Envoys.
    ///
    /// # Errors
    /// An Envoy does not start; its log's tail is in the message.
    pub async fn start() -> anyhow::Result<Self> {
        let app = App::start().await?;
        let port = |protocol| Port::declared(protocol, app.address());
        let exempt = port(Protocol::Http)?;
        let web = json!({
            "exemptPorts": [exempt.number()],
            "callers": [{"cidr": "127.0.1.0/24", "name": "legacy-vms"}],
        });
        Ok(Self {
            web: pod(
                "shop",
                "web",
                vec![
                    port(Protocol::Http)?,
                    port(Protocol::Tcp)?,
                    exempt,
                    port(Protocol::Http)?,
                ],
                web,
            )
            .await?,
            ledger: pod(
                "bank",
                "ledger",
                vec![port(Protocol::Http)?],
                json!({"labels": "native"}),
            )
            .await?,
            vault: pod(
                "bank",
                "vault",
                vec![port(Protocol::Http)?],
                json!({"maxCallers": 1, "maxCaller": 1}),
            )
            .await?,
            api: pod("quiet", "api", vec![port(Protocol::Http)?], json!({})).await?,
            _app: app,
        })
    }

    /// In a fixed order.
    pub fn pods(&self) -> [&Pod; 4] {
        [&self.web, &self.ledger, &self.vault, &self.api]
    }

    /// The last lines of every log.
    pub fn log_tails(&self) -> String {
        let tails: Vec<String> = self
            .pods()
            .iter()
            .map(|pod| format!("{}: {}", pod.workload, pod.envoy.log_tail()))
            .collect();
        tails.join("\n")
    }
}

async fn pod(
    namespace: &'static str,
    workload: &'static str,
    ports: Vec<Port>,
    configuration: Value,
) -> anyhow::Result<Pod> {
    let mut sidecar =
        Sidecar::new(Mode::Permissive, ports.clone())?.with_plainsight(configuration.clone())?;
    sidecar.node_metadata = json!({"WORKLOAD_NAME": workload, "NAMESPACE": namespace});
    if configuration["labels"] == "native" {
        sidecar.extra_stat_tags = LABELS
            .iter()
            .map(|(_, name, _)| (*name).to_owned())
            .collect();
    }
    let envoy = Envoy::start(&sidecar).await?;
    Ok(Pod {
        namespace,
        workload,
        ports,
        client: sidecar.mesh.client.clone(),
        envoy,
    })
}
