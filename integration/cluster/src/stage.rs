//! A mesh whose workload is PERMISSIVE and has the filter: the start of the tests of verdicts, labels and exemptions.

use anyhow::{Context, ensure};
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use plainsight_harness::exposition::Scrape;

use serde_json::{Value, json};

use crate::mesh::{Mesh, Port, Sidecar, caller_address};

/// The number of the caller used for waiting; no other caller has it.
const CANARY: u8 = 254;
/// Successive calls with the new outcome after which all of Envoy's workers are assumed to have the change.
const IN_A_ROW: u32 = 30;

/// A mesh with its sidecar.
pub struct Stage {
    /// The mesh.
    pub mesh: Mesh,
    /// The sidecar of its workload.
    pub sidecar: Sidecar,
}

impl Stage {
    /// A workload without any PeerAuthentication, which is PERMISSIVE; the sidecar ready, no filter yet.
    ///
    /// # Errors
    /// Something did not start; the message holds the tail of its log.
    pub async fn without_filter() -> anyhow::Result<Self> {
        let mut mesh = Mesh::start().await?;
        let sidecar = mesh.start_sidecar().await?;
        Ok(Self { mesh, sidecar })
    }

    /// The same with the chart's canary in force on every port; `values` are added to it.
    ///
    /// # Errors
    /// As above, or the filter does not count.
    pub async fn start(values: Value) -> anyhow::Result<Self> {
        let stage = Self::without_filter().await?;
        stage.install(canary_values(values))?;
        stage.until_the_filter_counts().await?;
        Ok(stage)
    }

    /// Applies the chart's plugins and returns what was applied.
    ///
    /// # Errors
    /// Helm refuses the values.
    pub fn install(&self, values: Value) -> anyhow::Result<String> {
        let rendered = self.mesh.plugins(values)?;
        self.mesh.kubernetes.apply(&rendered)?;
        Ok(rendered)
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
                let before = self.mesh.scrape().await?;
                self.call_in_a_row(port, true).await?;
                let after = self.mesh.scrape().await?;
                for metric in metrics {
                    let came = of_canary(&after, metric, port) - of_canary(&before, metric, port);
                    ensure!(came == wanted, "{port:?}: {metric}: {came} of {IN_A_ROW}");
                }
                Ok(())
            })
            .await
            .with_context(|| format!("sidecar:\n{}", self.sidecar.log()))?;
        }
        Ok(())
    }

    /// Makes plaintext calls one after another; all must be served, or all refused.
    ///
    /// # Errors
    /// A call with the other outcome.
    pub async fn call_in_a_row(&self, port: Port, served: bool) -> anyhow::Result<()> {
        for _ in 0..IN_A_ROW {
            let outcome = self.mesh.call(&canary(), port.address()).await;
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
        self.mesh.kubernetes.apply(policy)?;
        eventually("the policy is in force", || {
            self.call_in_a_row(port, takes_plaintext)
        })
        .await
        .with_context(|| format!("sidecar:\n{}", self.sidecar.log()))
    }
}

/// The values of a canary on the tests' workload, added to `values`.
pub fn canary_values(mut values: Value) -> Value {
    values["namespaces"] = json!(["shop"]);
    values["workload"] = json!({"matchLabels": {"app": "checkout"}});
    values
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
