//! The sidecar: Istio's agent and its iptables, and the stock Envoy that the agent starts.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use plainsight_harness::process::Process;

use super::control_plane::XDS_PORT;
use super::{Mesh, OUTSIDE, POD};
use crate::program::{Start, istio, run, start};

/// Envoy's metrics: <https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio>.
pub(super) const PROMETHEUS_PORT: u16 = 15090;

/// A running sidecar.
pub struct Sidecar {
    agent: Process,
    folder: PathBuf,
}

impl Sidecar {
    pub(super) async fn start(mesh: &Mesh) -> anyhow::Result<Self> {
        let folder = mesh.folder.path().join("sidecar");
        // Certificates by file instead of a token and a request to istiod: the agent's well-known place.
        // https://github.com/istio/istio/blob/1.30.0/pkg/security/security.go (WorkloadIdentityCredentialsPath)
        let credentials = folder.join("var/run/secrets/workload-spiffe-credentials");
        for place in [
            &credentials,
            &folder.join("etc/istio/proxy"),
            &folder.join("varlib/istio/data"),
        ] {
            std::fs::create_dir_all(place)?;
        }
        let server = &mesh.certificates.server;
        std::fs::write(credentials.join("cert-chain.pem"), &server.certificate_pem)?;
        std::fs::write(credentials.join("key.pem"), &server.key_pem)?;
        std::fs::write(
            credentials.join("root-cert.pem"),
            mesh.certificates.authority.pem(),
        )?;

        redirect(mesh, &folder)?;
        let binary = istio("pilot-agent")?;
        let template = std::env::var("PLAINSIGHT_BOOTSTRAP")
            .context("PLAINSIGHT_BOOTSTRAP: not set: run make test-cluster")?;
        let arguments = [
            "proxy",
            "sidecar",
            "--domain=shop.svc.cluster.local",
            "--concurrency=2",
            "--proxyLogLevel=warning",
            "--proxyComponentLogLevel=wasm:info,config:info",
            &format!("--templateFile={template}"),
        ]
        .map(str::to_owned);
        let environment = environment()?;
        let mut agent = start(
            "pilot-agent",
            &Start {
                namespace: &mesh.pod,
                binary: &binary,
                arguments: &arguments,
                environment: &environment,
                folder: &folder,
            },
        )?;
        agent
            .ready("sidecar: ready", async || {
                let scrape = mesh.scrape().await?;
                ensure!(
                    scrape.sum("envoy_server_live", &[]) == 1.0,
                    "sidecar: not live"
                );
                mesh.call(&plain(), super::Port::Http.address())
                    .await
                    .context("sidecar: no traffic yet")
            })
            .await?;
        Ok(Self { agent, folder })
    }

    /// The log of the agent and of Envoy.
    pub fn log(&self) -> String {
        self.agent.log()
    }

    /// The bootstrap that the agent rendered from Istio's template.
    ///
    /// # Errors
    /// The file is missing, or not JSON.
    pub fn bootstrap(&self) -> anyhow::Result<serde_json::Value> {
        let path = self.folder.join("etc/istio/proxy/envoy-rev.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The modules that the agent has fetched.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn fetched_modules(&self) -> anyhow::Result<Vec<PathBuf>> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    walk(&path, found)?;
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "wasm")
                {
                    found.push(path);
                }
            }
            Ok(())
        }
        let mut found = Vec::new();
        walk(&self.folder.join("varlib/istio/data"), &mut found)?;
        Ok(found)
    }
}

fn plain() -> plainsight_harness::callers::Caller {
    plainsight_harness::callers::Caller::http1(&OUTSIDE.to_string())
}

/// Istio's own iptables, as istio-init runs it. The proxy's user is root: the namespace belongs to the
/// test alone.
fn redirect(mesh: &Mesh, folder: &Path) -> anyhow::Result<()> {
    let agent = istio("pilot-agent")?;
    let agent = agent.to_string_lossy();
    let arguments = [
        &*agent,
        "istio-iptables",
        "-p",
        "15001",
        "-z",
        "15006",
        "-u",
        "0",
        "-g",
        "0",
        "-m",
        "REDIRECT",
        "-i",
        "*",
        "-x",
        "",
        "-b",
        "*",
        "-d",
        "15090,15021,15020",
    ];
    run(&mesh.pod, folder, &arguments)?;
    Ok(())
}

fn environment() -> anyhow::Result<Vec<(&'static str, String)>> {
    let envoy = std::env::var("PLAINSIGHT_ENVOY")
        .context("PLAINSIGHT_ENVOY: not set: run make test-cluster")?;
    let config = serde_json::json!({
        "binaryPath": envoy,
        "discoveryAddress": format!("{OUTSIDE}:{XDS_PORT}"),
        "controlPlaneAuthPolicy": "NONE",
    });
    Ok([
        ("PROXY_CONFIG", config.to_string()),
        ("POD_NAME", "checkout-1".to_owned()),
        ("POD_NAMESPACE", "shop".to_owned()),
        ("INSTANCE_IP", POD.to_string()),
        ("SERVICE_ACCOUNT", "checkout".to_owned()),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes".to_owned()),
        ("ISTIO_META_WORKLOAD_NAME", "checkout".to_owned()),
        ("ISTIO_META_MESH_ID", "cluster.local".to_owned()),
        ("ISTIO_META_NODE_NAME", "node-1".to_owned()),
        ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT".to_owned()),
        ("ISTIO_METAJSON_LABELS", r#"{"app":"checkout"}"#.to_owned()),
        ("TRUST_DOMAIN", "cluster.local".to_owned()),
    ]
    .to_vec())
}
