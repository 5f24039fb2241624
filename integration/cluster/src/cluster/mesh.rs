//! Istio from its own charts: definitions, webhooks, RBAC and the Deployment of istiod, whose pod then runs.

use serde_json::{Value, json};

use super::{Cluster, ISTIO, PATIENCE};
use crate::program::source;

/// Installs both charts, runs istiod and waits for its webhooks.
pub(super) async fn install(cluster: &Cluster) -> anyhow::Result<()> {
    let base = source("PLAINSIGHT_ISTIO_SOURCE")?.join("manifests/charts/base");
    let base = base.display().to_string();
    let arguments = [
        "install",
        "istio-base",
        &base,
        "-n",
        ISTIO,
        "--create-namespace",
    ];
    cluster.helm(&arguments).await?;
    // The CA of the mesh is the test's, so that a test can issue certificates to callers without a sidecar.
    let (authority, key) = (cluster.authority.pem(), cluster.authority.key_pem());
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": ISTIO},
        "stringData": {
            "ca-cert.pem": authority,
            "ca-key.pem": key,
            "cert-chain.pem": authority,
            "root-cert.pem": authority,
        },
    });
    cluster.apply(&secret.to_string()).await?;
    cluster.install_istiod(None, json!({})).await
}

impl Cluster {
    /// Installs Istio's control plane once more, as a revision, with values added to the test's own; runs it and waits
    /// until its webhooks work.
    ///
    /// # Errors
    /// Helm refuses the values, or istiod does not become ready; the message holds its log.
    pub async fn install_istiod(&self, revision: Option<&str>, more: Value) -> anyhow::Result<()> {
        let chart = source("PLAINSIGHT_ISTIO_SOURCE")?;
        let chart = chart.join("manifests/charts/istio-control/istio-discovery");
        let suffix = revision.map(|revision| format!("-{revision}"));
        let release = format!("istiod{}", suffix.unwrap_or_default());
        let folder = self.folder().join("values");
        std::fs::create_dir_all(&folder)?;
        let (own, more_file) = (
            folder.join("own.json"),
            folder.join(format!("{release}.json")),
        );
        std::fs::write(&own, values(revision).to_string())?;
        std::fs::write(&more_file, more.to_string())?;
        let [chart, own, more] = [chart, own, more_file].map(|path| path.display().to_string());
        let arguments = [
            "upgrade",
            "--install",
            &release,
            &chart,
            "-n",
            ISTIO,
            "-f",
            &own,
            "-f",
            &more,
        ];
        self.helm(&arguments).await?;
        self.rollout(ISTIO, &format!("deployment/{release}"))
            .await?;
        let label = format!("istio.io/rev={}", revision.unwrap_or("default"));
        // istiod writes its certificate into its webhooks once it answers.
        let certificate = "--for=jsonpath={.webhooks[0].clientConfig.caBundle}";
        for kind in [
            "mutatingwebhookconfiguration",
            "validatingwebhookconfiguration",
        ] {
            let arguments = ["wait", certificate, kind, "-l", &label, PATIENCE];
            self.kubectl(&arguments, "").await?;
        }
        Ok(())
    }
}

/// Values of Istio's chart. The stock Envoy has no `istio.stats`, `istio.alpn` and `peer_metadata`.
fn values(revision: Option<&str>) -> Value {
    json!({
        "revision": revision.unwrap_or_default(),
        "autoscaleEnabled": false,
        "meshConfig": {"enablePrometheusMerge": false, "defaultProviders": {"metrics": []}},
        "global": {
            "proxy": {"componentLogLevel": "wasm:info,config:info"},
        },
        "env": {
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            // Changes reach sidecars at once: tests wait for them.
            "PILOT_DEBOUNCE_AFTER": "10ms",
        },
    })
}
