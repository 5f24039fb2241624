//! A workload that is PERMISSIVE and has the filter: the start of the tests of verdicts, labels and exemptions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use plainsight_harness::callers::{Caller, Reply};
use plainsight_harness::eventually::eventually;
use plainsight_harness::exposition::Scrape;
use serde_json::{Value, json};

use crate::chart::plugins;
use crate::cluster::{Cluster, ISTIO, caller_address};
use crate::pod::Pod;
use crate::workload::{Port, manifest};

/// The number of the caller used for waiting; no other caller has it.
const CANARY: u8 = 254;
/// Successive calls with the new outcome after which all of Envoy's workers are assumed to have the change.
const IN_A_ROW: u32 = 30;

/// The workload `checkout` in a namespace of its own.
pub struct Stage<'a> {
    /// Where it is.
    pub cluster: &'a Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its only pod, with the sidecar.
    pub pod: Arc<Pod>,
}

impl<'a> Stage<'a> {
    /// A workload without any PeerAuthentication, which is PERMISSIVE; the sidecar ready, no filter yet.
    ///
    /// # Errors
    /// Something did not start; the message holds the tail of its log.
    pub async fn without_filter(cluster: &'a Cluster) -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("shop-{}", MADE.fetch_add(1, Ordering::Relaxed));
        cluster.apply(&manifest(&namespace)).await?;
        let pods = cluster.rollout(&namespace, "deployment/checkout").await?;
        ensure!(pods.len() == 1, "{namespace}: {} pods", pods.len());
        let pod = Arc::clone(&pods[0]);
        ensure!(
            pod.has_sidecar(),
            "{namespace}: not injected: {}",
            pod.object
        );
        Ok(Self {
            cluster,
            namespace,
            pod,
        })
    }

    /// The same with the chart's canary in force on every port; `values` are added to it.
    ///
    /// # Errors
    /// As above, or the filter does not count.
    pub async fn start(cluster: &'a Cluster, values: Value) -> anyhow::Result<Self> {
        let stage = Self::without_filter(cluster).await?;
        stage.install(stage.canary_values(values)).await?;
        stage.until_the_filter_counts().await?;
        Ok(stage)
    }

    /// The values of a canary on this workload, added to `values`.
    pub fn canary_values(&self, mut values: Value) -> Value {
        values["namespaces"] = json!([self.namespace]);
        values["workload"] = json!({"matchLabels": {"app": "checkout"}});
        values
    }

    /// The chart's plugins with these values and the cluster's image.
    ///
    /// # Errors
    /// Helm refuses them.
    pub fn plugins(&self, mut values: Value) -> anyhow::Result<String> {
        values["image"] = self.cluster.image()?;
        plugins(values)
    }

    /// Applies the chart's plugins and returns what was applied.
    ///
    /// # Errors
    /// Helm or the API refuses them.
    pub async fn install(&self, values: Value) -> anyhow::Result<String> {
        let rendered = self.plugins(values)?;
        self.cluster.apply(&rendered).await?;
        Ok(rendered)
    }

    /// Where callers find a port of the workload.
    pub fn address(&self, port: Port) -> SocketAddr {
        (self.pod.address, port.number()).into()
    }

    /// A call from outside the cluster, from an address that is the caller's own.
    ///
    /// # Errors
    /// The caller's error.
    pub async fn call(&self, caller: &Caller, port: Port) -> anyhow::Result<Reply> {
        let (caller, to) = (caller.clone(), self.address(port));
        self.cluster
            .outside(async move { caller.call(to).await })
            .await
    }

    /// The log of the agent and of Envoy.
    pub fn sidecar_log(&self) -> String {
        self.pod.log("istio-proxy")
    }

    /// Waits until every connection and every request counts, on every port.
    ///
    /// # Errors
    /// They do not; the message holds the sidecar's log.
    pub async fn until_the_filter_counts(&self) -> anyhow::Result<()> {
        self.until_counted("the filter counts", f64::from(IN_A_ROW))
            .await
    }

    /// Waits until no connection and no request counts any more, on any port.
    ///
    /// # Errors
    /// As above.
    pub async fn until_nothing_counts(&self) -> anyhow::Result<()> {
        self.until_counted("the filter is gone", 0.0).await
    }

    async fn until_counted(&self, what: &str, wanted: f64) -> anyhow::Result<()> {
        for port in Port::ALL {
            let metrics: &[&str] = match port {
                Port::Tcp => &["plainsight_connections_total"],
                _ => &["plainsight_connections_total", "plainsight_requests_total"],
            };
            eventually(what, || async {
                let before = self.pod.scrape().await?;
                self.call_in_a_row(port, true).await?;
                let after = self.pod.scrape().await?;
                for metric in metrics {
                    let came = of_canary(&after, metric, port) - of_canary(&before, metric, port);
                    ensure!(came == wanted, "{port:?}: {metric}: {came} of {IN_A_ROW}");
                }
                Ok(())
            })
            .await
            .with_context(|| format!("sidecar:\n{}", self.sidecar_log()))?;
        }
        Ok(())
    }

    /// Makes plaintext calls one after another; all must be served, or all refused.
    ///
    /// # Errors
    /// A call with the other outcome.
    pub async fn call_in_a_row(&self, port: Port, served: bool) -> anyhow::Result<()> {
        for _ in 0..IN_A_ROW {
            let outcome = self.call(&canary(), port).await;
            ensure!(
                outcome.is_ok() == served,
                "{port:?}: plaintext: {outcome:?}"
            );
        }
        Ok(())
    }

    /// Applies a PeerAuthentication and waits until `port` accepts plaintext, or refuses it, in all workers.
    ///
    /// # Errors
    /// It does not come into force.
    pub async fn declare(
        &self,
        policy: &str,
        port: Port,
        takes_plaintext: bool,
    ) -> anyhow::Result<()> {
        self.cluster.apply(policy).await?;
        eventually("the policy is in force", || {
            self.call_in_a_row(port, takes_plaintext)
        })
        .await
        .with_context(|| format!("sidecar:\n{}", self.sidecar_log()))
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.cluster.end_namespace(&self.namespace);
        // What a test installed for the whole mesh.
        let kinds = "wasmplugins,trafficextensions";
        self.cluster
            .run_at_end(&["delete", kinds, "--all", "-n", ISTIO]);
    }
}

/// The caller used for waiting: plain HTTP/1.1.
pub fn canary() -> Caller {
    Caller::http1(&caller_address(CANARY).to_string())
}

fn of_canary(scrape: &Scrape, metric: &str, port: Port) -> f64 {
    let (address, number) = (canary().source.to_string(), port.number().to_string());
    scrape.sum(
        metric,
        &[("source_ip", &address), ("destination_port", &number)],
    )
}
