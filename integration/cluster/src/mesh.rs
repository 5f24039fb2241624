//! One mesh for a test: the control plane, a registry and callers in one network namespace, a workload with its
//! sidecar in another. Tests share nothing.

mod control_plane;
mod registry;
mod sidecar;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, Reply};
use plainsight_harness::exposition::Scrape;
use plainsight_harness::pki;

use crate::kubernetes::Kubernetes;
use crate::network::Namespace;
use control_plane::ControlPlane;
use registry::Registry;
use serde_json::Value;
pub use sidecar::Sidecar;

/// The address of everything outside the workload.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The workload's pod.
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);

/// The address of a caller, by number: each kind of caller has its own.
pub const fn caller_address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 1, number))
}

/// A port of the workload, and how its Service declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Declared as HTTP.
    Http,
    /// Declared as TCP.
    Tcp,
    /// Declared without a protocol: the sidecar detects it.
    Auto,
    /// In no Service.
    Undeclared,
}

impl Port {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Auto, Self::Undeclared];

    /// The target port. [`Port::Tcp`]'s is the one that [`crate::strict::WORKLOAD_EXCEPT_PORT`] leaves open.
    pub const fn number(self) -> u16 {
        match self {
            Self::Http => 8080,
            Self::Tcp => 9000,
            Self::Auto => 7000,
            Self::Undeclared => 6000,
        }
    }

    /// Where callers find it.
    pub const fn address(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(POD), self.number())
    }
}

/// A running mesh with the workload `checkout` in the namespace `shop`.
pub struct Mesh {
    /// The API that istiod reads.
    pub kubernetes: Kubernetes,
    /// The certificates of the mesh.
    pub certificates: pki::Mesh,
    control_plane: ControlPlane,
    registry: Registry,
    _apps: Vec<App>,
    outside: Arc<Namespace>,
    pod: Arc<Namespace>,
    folder: tempfile::TempDir,
}

impl Mesh {
    /// Starts everything but the sidecar, and waits until istiod is ready.
    ///
    /// # Errors
    /// A program is missing, or something did not start; the message holds the tail of its log.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (outside, pod) = (
            Arc::new(Namespace::new("outside")?),
            Arc::new(Namespace::new("pod")?),
        );
        outside.connect(&pod)?;
        outside.add_address(OUTSIDE.into())?;
        pod.add_address(POD.into())?;
        outside.answer_for("10.77.1.0/24")?;
        let kubernetes = outside
            .run(Kubernetes::start(SocketAddr::new(
                OUTSIDE.into(),
                control_plane::API_PORT,
            )))
            .await?;
        kubernetes.apply(include_str!("mesh/cluster.yaml"))?;
        let mut apps = Vec::new();
        for port in Port::ALL {
            apps.push(
                pod.run(App::start_at((Ipv4Addr::UNSPECIFIED, port.number()).into()))
                    .await?,
            );
        }
        let registry = Registry::start(&outside, folder.path()).await?;
        let control_plane = ControlPlane::start(&outside, folder.path()).await?;
        let certificates = pki::Mesh::new()?;
        Ok(Self {
            kubernetes,
            certificates,
            control_plane,
            registry,
            _apps: apps,
            outside,
            pod,
            folder,
        })
    }

    /// Puts the sidecar in front of the workload, as injection does, and waits until it is ready.
    ///
    /// # Errors
    /// It did not become ready; the message holds the tails of its log and of istiod's.
    pub async fn start_sidecar(&mut self) -> anyhow::Result<Sidecar> {
        let sidecar = Sidecar::start(self).await;
        sidecar.with_context(|| format!("istiod:\n{}", self.control_plane.log_tail()))
    }

    /// The chart's plugins with these values and this mesh's image.
    ///
    /// # Errors
    /// Helm refuses them.
    pub fn plugins(&self, mut values: Value) -> anyhow::Result<String> {
        values["image"] = self.registry.image();
        crate::chart::plugins(values)
    }

    /// A call from outside, from an address that is the caller's own.
    ///
    /// # Errors
    /// The caller's error.
    pub async fn call(&self, caller: &Caller, to: SocketAddr) -> anyhow::Result<Reply> {
        let caller = caller.clone();
        self.outside(async move { caller.call(to).await }).await
    }

    /// Runs `work` outside the workload's pod, where the addresses of callers are.
    ///
    /// # Errors
    /// The error of `work`.
    pub async fn outside<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.outside.run(work).await
    }

    /// What the sidecar shows Prometheus, on the port that is never captured.
    ///
    /// # Errors
    /// No listener, or the answer is not an exposition.
    pub async fn scrape(&self) -> anyhow::Result<Scrape> {
        Scrape::parse(&self.scrape_text().await?)
    }

    /// The same as text.
    ///
    /// # Errors
    /// No listener.
    pub async fn scrape_text(&self) -> anyhow::Result<String> {
        self.get_metrics("/stats/prometheus").await
    }

    /// What the sidecar's port for Prometheus answers to a path.
    ///
    /// # Errors
    /// No listener.
    pub async fn get_metrics(&self, path: &str) -> anyhow::Result<String> {
        let caller = Caller::http1(&OUTSIDE.to_string());
        let path = path.to_owned();
        let reply = self
            .outside
            .run(async move {
                caller
                    .get((POD, sidecar::PROMETHEUS_PORT).into(), &path)
                    .await
            })
            .await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }
}
