//! istiod.

use std::path::Path;

use plainsight_harness::callers::Caller;
use plainsight_harness::process::Process;

use super::OUTSIDE;
use crate::network::Namespace;
use crate::program::{Start, istio, start};

/// The stand-in for Kubernetes.
pub(super) const API_PORT: u16 = 6443;
/// Without TLS, inside the test's own namespace.
pub(super) const XDS_PORT: u16 = 15010;
const HTTP_PORT: u16 = 8080;

/// The mesh's configuration. No metrics provider: `istio.stats` is a filter that only Istio's Envoy has.
const MESH: &str = "\
rootNamespace: istio-system
trustDomain: cluster.local
enablePrometheusMerge: false
defaultProviders: {metrics: [], accessLogging: [], tracing: []}
";

/// A running istiod.
pub(super) struct ControlPlane {
    program: Process,
}

impl ControlPlane {
    /// Starts it and waits until it is ready.
    pub(super) async fn start(namespace: &Namespace, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("istiod");
        std::fs::create_dir_all(folder.join("inject"))?;
        std::fs::write(folder.join("mesh.yaml"), MESH)?;
        std::fs::write(
            folder.join("kubeconfig"),
            format!(
                "{{apiVersion: v1, kind: Config, current-context: test, \
                 clusters: [{{name: test, cluster: {{server: \"http://{OUTSIDE}:{API_PORT}\"}}}}], \
                 users: [{{name: test, user: {{}}}}], \
                 contexts: [{{name: test, context: {{cluster: test, user: test}}}}]}}"
            ),
        )?;
        let arguments = [
            "discovery",
            "--kubeconfig=kubeconfig",
            "--meshConfig=mesh.yaml",
            "--clusterID=Kubernetes",
            &format!("--grpcAddr={OUTSIDE}:{XDS_PORT}"),
            &format!("--httpAddr={OUTSIDE}:{HTTP_PORT}"),
            "--secureGRPCAddr=",
            "--httpsAddr=",
            "--monitoringAddr=",
            "--ctrlz_port=0",
            "--log_output_level=default:info",
        ]
        .map(str::to_owned);
        let environment = [
            ("POD_NAME", "istiod-1"),
            ("POD_NAMESPACE", "istio-system"),
            // peer_metadata is a filter that only Istio's Envoy has.
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            // Changes reach sidecars at once: tests wait for them.
            ("PILOT_DEBOUNCE_AFTER", "10ms"),
            // The stand-in answers lists and watches, not the streamed list.
            ("KUBE_FEATURE_WatchListClient", "false"),
            ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
            ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
        ]
        .map(|(key, value)| (key, value.to_owned()));
        let binary = istio("pilot-discovery")?;
        let mut program = start(
            "istiod",
            &Start {
                namespace,
                binary: &binary,
                arguments: &arguments,
                environment: &environment,
                folder: &folder,
            },
        )?;
        let caller = Caller::http1(&OUTSIDE.to_string());
        program
            .ready("istiod: ready", async || {
                let caller = caller.clone();
                let ask = async move { caller.get((OUTSIDE, HTTP_PORT).into(), "/ready").await };
                namespace.run(ask).await
            })
            .await?;
        Ok(Self { program })
    }

    pub(super) fn log_tail(&self) -> String {
        self.program.log_tail()
    }
}
