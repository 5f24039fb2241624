//! The workloads of the story, and how each of them calls.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use plainsight_harness::callers::{Caller, Tls, TlsVersion};

use super::traffic::{Habit, Line, Traffic};
use crate::cluster::{Cluster, caller_address};
use crate::pod::Pod;

/// The manifest.
pub const MANIFEST: &str = include_str!("cast.yaml");
/// The caller outside the cluster.
const OUTSIDE: u8 = 10;

/// What `shop/stock` calls.
const MUTUAL: [(&str, u16); 4] = [
    ("shop/orders", 8080),
    ("shop/orders", 9000),
    ("billing/ledger", 8080),
    ("billing/ledger", 9000),
];

/// Who is there, as the story lists them.
pub const TABLE: &str = "\
| caller | kind | calls | how |
|---|---|---|---|
| `shop/stock` | Deployment with a sidecar | `shop/orders` and `billing/ledger`, ports 8080 and 9000 | mutual TLS: HTTP, and TCP connections that stay open |
| `finance/reports` | Deployment without one | `shop/orders`, port 8080 | plaintext HTTP |
| `legacy/warehouse` | StatefulSet | `shop/orders`, port 9000 | plaintext TCP |
| `legacy/exporter` | Deployment | `shop/orders`, port 9000 | its own TLS |
| `legacy/nightly` | CronJob | `shop/orders`, port 8080 | plaintext HTTP |
| `legacy/agent` | DaemonSet with `hostNetwork`, on `node-1` | `shop/stock`, port 8080 | plaintext HTTP, from the node's address |
| `legacy/debug` | bare pod | `billing/ledger`, port 8080 | plaintext HTTP |
| `10.77.1.10` | outside the cluster | `billing/ledger`, port 8080 | plaintext HTTP |";

/// All callers, by a name of the story's own.
pub struct Cast<'a> {
    cluster: &'a Cluster,
    /// The pods that are called, by workload.
    called: BTreeMap<&'static str, Arc<Pod>>,
    /// Who calls or called.
    pub traffic: Vec<Traffic>,
}

impl<'a> Cast<'a> {
    /// Creates the workloads, runs their pods and lets all of them call.
    ///
    /// # Errors
    /// The API refuses them, or a pod does not become ready.
    pub async fn start(cluster: &'a Cluster) -> anyhow::Result<Self> {
        cluster.apply(MANIFEST).await?;
        let shop = cluster.rollout("shop", "deployment/orders");
        let billing = cluster.rollout("billing", "deployment/ledger");
        let (_, billing) = tokio::try_join!(shop, billing)?;
        let shop = cluster.rollout("shop", "deployment/stock").await?;
        let finance = cluster.rollout("finance", "deployment/reports").await?;
        for workload in [
            "statefulset/warehouse",
            "daemonset/agent",
            "deployment/exporter",
        ] {
            cluster.rollout("legacy", workload).await?;
        }
        let mut cast = Self {
            cluster,
            called: BTreeMap::from([
                ("shop/orders", pod_of(&shop, "orders")?),
                ("shop/stock", pod_of(&shop, "stock")?),
                ("billing/ledger", pod_of(&billing, "ledger")?),
            ]),
            traffic: Vec::new(),
        };
        for name in cast.called.values() {
            ensure!(name.has_sidecar(), "{}: not injected", name.name());
        }
        let stock = pod_of(&shop, "stock")?;
        let reports = pod_of(&finance, "reports")?;
        let legacy = cluster.run_pods("legacy").await?;
        for (workload, port) in MUTUAL {
            cast.mesh_caller("shop/stock", &stock, workload, port, Habit::Keep)
                .await?;
        }
        cast.plain("finance/reports", &reports, "shop/orders", 8080)?;
        cast.plain(
            "legacy/warehouse",
            &pod_of(&legacy, "warehouse")?,
            "shop/orders",
            9000,
        )?;
        cast.plain(
            "legacy/exporter",
            &pod_of(&legacy, "exporter")?,
            "shop/orders",
            9000,
        )?;
        // A pod of the node's network is known by its node only.
        cast.plain("node-1", &pod_of(&legacy, "agent")?, "shop/stock", 8080)?;
        cast.plain(
            "legacy/debug",
            &pod_of(&legacy, "debug")?,
            "billing/ledger",
            8080,
        )?;
        let outside = caller_address(OUTSIDE).to_string();
        let line = Line {
            name: outside.clone(),
            workload: "billing/ledger",
            port: 8080,
            network: cluster.network(),
            caller: Caller::http1(&outside),
            to: cast.address("billing/ledger", 8080)?,
            habit: Habit::Reconnect,
        };
        cast.traffic.push(Traffic::start(line));
        Ok(cast)
    }

    fn address(&self, workload: &str, port: u16) -> anyhow::Result<SocketAddr> {
        let pod = self.called.get(workload).context("not called")?;
        Ok((pod.address, port).into())
    }

    /// The pod of a called workload.
    ///
    /// # Errors
    /// It is not called.
    pub fn called(&self, workload: &str) -> anyhow::Result<&Pod> {
        let pod = self.called.get(workload);
        pod.map(|pod| &**pod).context("not called")
    }

    /// A caller without a sidecar calls a pod by its address: there is no kube-proxy.
    fn plain(
        &mut self,
        name: &str,
        pod: &Arc<Pod>,
        workload: &'static str,
        port: u16,
    ) -> anyhow::Result<()> {
        let source = pod.address.to_string();
        let caller = match name {
            "legacy/warehouse" => Caller::bytes(&source),
            "legacy/exporter" => Caller::http1(&source).over(Tls::own(TlsVersion::V1_3)),
            _ => Caller::http1(&source),
        };
        let line = Line {
            name: name.to_owned(),
            workload,
            port,
            network: pod.network(),
            caller,
            to: self.address(workload, port)?,
            habit: Habit::Reconnect,
        };
        self.traffic.push(Traffic::start(line));
        Ok(())
    }

    /// A caller with a sidecar calls a workload by its Service. An HTTP port goes by the Service's name.
    async fn mesh_caller(
        &mut self,
        name: &str,
        pod: &Arc<Pod>,
        workload: &'static str,
        port: u16,
        habit: Habit,
    ) -> anyhow::Result<()> {
        let (namespace, service) = workload.split_once('/').context("no namespace")?;
        let object = self
            .cluster
            .get(&["service", service, "-n", namespace])
            .await?;
        let address: Ipv4Addr = object["spec"]["clusterIP"]
            .as_str()
            .context("no clusterIP")?
            .parse()?;
        let source = pod.address.to_string();
        let host = format!("{service}.{namespace}.svc.cluster.local");
        let (caller, service_port) = match port {
            9000 => (Caller::bytes(&source), 9000),
            _ => (Caller::http1(&source).with_header("host", host), 80),
        };
        let line = Line {
            name: name.to_owned(),
            workload,
            port,
            network: pod.network(),
            caller,
            to: (address, service_port).into(),
            habit,
        };
        self.traffic.push(Traffic::start(line));
        Ok(())
    }

    /// Waits for the CronJob's next pod and lets it call.
    ///
    /// # Errors
    /// There is none within two minutes.
    pub async fn nightly(&mut self) -> anyhow::Result<()> {
        let pods = super::until(
            "the CronJob makes a Job",
            Duration::from_secs(120),
            async || {
                let pods = self.cluster.run_pods("legacy").await?;
                pod_of(&pods, "nightly")
            },
        );
        let pod = pods.await?;
        self.plain("legacy/nightly", &pod, "shop/orders", 8080)
    }

    /// Ends a caller.
    pub async fn stop(&mut self, name: &str) {
        for traffic in self
            .traffic
            .iter_mut()
            .filter(|traffic| traffic.line.name == name)
        {
            traffic.stop().await;
        }
    }

    /// `finance` gets sidecars, as docs/runbook.md says: what the pods that are there call with is replaced.
    ///
    /// # Errors
    /// The new pod does not become ready.
    pub async fn inject_reports(&mut self) -> anyhow::Result<()> {
        let pods = self
            .cluster
            .rollout("finance", "deployment/reports")
            .await?;
        let reports = pod_of(&pods, "reports")?;
        ensure!(reports.has_sidecar(), "finance/reports: not injected");
        self.mesh_caller(
            "finance/reports",
            &reports,
            "shop/orders",
            8080,
            Habit::Reconnect,
        )
        .await
    }
}

/// The newest pod of a workload.
fn pod_of(pods: &[Arc<Pod>], app: &str) -> anyhow::Result<Arc<Pod>> {
    let own = pods.iter().filter(|pod| {
        let name = pod.name();
        name == app
            || name
                .strip_prefix(app)
                .is_some_and(|rest| rest.starts_with('-'))
    });
    let newest = own.max_by_key(|pod| {
        pod.object["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    newest.cloned().with_context(|| format!("no pod of {app}"))
}
