//! A cluster: a Kubernetes control plane, kwok for nodes, istiod with its webhooks, and if a test needs them the
//! registry with the module's image and the Prometheus operator with its Prometheus.

mod api;
mod control_plane;
mod mesh;
pub(crate) mod monitoring;
mod registry;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use plainsight_harness::pki::Authority;
use serde_json::{Value, json};

use crate::network::Namespace;
use crate::pod::Pod;
use crate::program::program;
pub use api::Api;
use control_plane::ControlPlane;
use monitoring::Monitoring;
use registry::Registry;

/// The outer namespace: the control plane's address and every pod's router.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const API_PORT: u16 = 6443;
/// Where kwok takes the addresses of pods from.
const PODS: &str = "10.77.64.1/18";

/// The address of a caller outside the cluster, by number: each kind of caller has its own.
pub const fn caller_address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 1, number))
}

/// The address of a node, by number from 1.
pub const fn node_address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 2, number))
}

/// What a test needs besides the control plane and istiod.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// A registry with the image of the module.
    pub registry: bool,
    /// kube-state-metrics, the Prometheus operator and its Prometheus.
    pub monitoring: bool,
}

/// A running cluster. Everything ends with it.
pub struct Cluster {
    /// The authority that istiod's CA is part of.
    pub authority: Authority,
    monitoring: Option<Monitoring>,
    pods: Mutex<BTreeMap<String, Arc<Pod>>>,
    registry: Option<Registry>,
    _control_plane: ControlPlane,
    api: Api,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts it, and waits until istiod injects and validates.
    ///
    /// # Errors
    /// Something that it needs is missing, or did not start; the message holds the tail of its log.
    pub async fn start(parts: Parts) -> anyhow::Result<Self> {
        // Containers run as other users.
        let readable = std::fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(readable).tempdir()?;
        let network = Arc::new(Namespace::new("cluster")?);
        network.become_router(ROUTER)?;
        for block in ["10.77.1.0/24", "10.77.2.0/24"] {
            network.answer_for(block)?;
        }
        let control_plane = ControlPlane::start(&network, folder.path()).await?;
        let registry = match parts.registry {
            true => Some(Registry::start(&network, folder.path()).await?),
            false => None,
        };
        let api = Api {
            network,
            folder: folder.path().to_owned(),
        };
        let mut cluster = Self {
            authority: Authority::new("mesh")?,
            monitoring: None,
            pods: Mutex::default(),
            registry,
            _control_plane: control_plane,
            api,
            folder,
        };
        cluster.add_nodes(NODES).await?;
        if parts.monitoring {
            let both = tokio::try_join!(mesh::install(&cluster), Monitoring::start(&cluster));
            cluster.monitoring = Some(both?.1);
        } else {
            mesh::install(&cluster).await?;
        }
        Ok(cluster)
    }

    /// Adds nodes `node-1` and on; those that are there stay.
    ///
    /// # Errors
    /// The API refuses them.
    pub async fn add_nodes(&self, count: u8) -> anyhow::Result<()> {
        let nodes = (1..=count).map(|number| {
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": format!("node-{number}"),
                    "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": format!("node-{number}")},
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                },
                "status": {
                    "nodeInfo": node_info(number),
                    "allocatable": {"cpu": "64", "memory": "512Gi", "pods": "1000"},
                    "capacity": {"cpu": "64", "memory": "512Gi", "pods": "1000"},
                    "addresses": [
                        {"type": "InternalIP", "address": node_address(number)},
                        {"type": "Hostname", "address": format!("node-{number}")},
                    ],
                },
            })
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": nodes.collect::<Vec<_>>()});
        self.apply(&list.to_string()).await
    }

    /// The pods of a namespace that have an address and are not being deleted, finished ones included.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn pods(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let mut list = self.get(&["pods", "-n", namespace]).await?;
        let Value::Array(mut pods) = list["items"].take() else {
            bail!("pods: no list: {list}");
        };
        pods.retain(|pod| {
            pod["status"]["podIP"].is_string() && pod["metadata"]["deletionTimestamp"].is_null()
        });
        Ok(pods)
    }

    /// Runs every pod of a namespace that does not run yet, ends those that are gone, and returns them all.
    /// To be called again after each change.
    ///
    /// # Errors
    /// A pod's program does not become ready; the message holds its log.
    pub async fn run_pods(&self, namespace: &str) -> anyhow::Result<Vec<Arc<Pod>>> {
        let objects = self.pods(namespace).await?;
        let uid = |pod: &Value| {
            pod["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let wanted: Vec<String> = objects.iter().map(uid).collect();
        // Those that are gone end first: their addresses may have new pods.
        self.running().retain(|uid, pod| {
            pod.object["metadata"]["namespace"] != namespace || wanted.contains(uid)
        });
        let new = objects
            .into_iter()
            .filter(|object| !self.running().contains_key(&uid(object)));
        let started = try_join_all(new.map(|object| Pod::start(self, object))).await?;
        for pod in started {
            self.running().insert(pod.uid().to_owned(), Arc::new(pod));
        }
        let running = self.running();
        Ok(wanted
            .iter()
            .filter_map(|uid| running.get(uid).cloned())
            .collect())
    }

    /// Waits until a Deployment, StatefulSet or DaemonSet is rolled out and runs the namespace's pods.
    ///
    /// # Errors
    /// It is not rolled out in time, or a pod's program does not become ready.
    pub async fn rollout(&self, namespace: &str, workload: &str) -> anyhow::Result<Vec<Arc<Pod>>> {
        let arguments = ["rollout", "status", workload, "-n", namespace, PATIENCE];
        if let Err(error) = self.kubectl(&arguments, "").await {
            let events = self.kubectl(&["get", "events", "-n", namespace], "").await;
            return Err(error.context(format!("events of {namespace}:\n{}", events?)));
        }
        self.run_pods(namespace).await
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Pod>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the namespace's pods and deletes it, without waiting for the API to finish.
    pub fn end_namespace(&self, namespace: &str) {
        self.running()
            .retain(|_, pod| pod.object["metadata"]["namespace"] != namespace);
        self.run_at_end(&["delete", "namespace", namespace, "--wait=false"]);
    }

    /// `kubectl` where nothing can be awaited and a failure leaves only what the cluster's end takes away.
    pub(crate) fn run_at_end(&self, arguments: &[&str]) {
        if let Ok(kubectl) = program("kubectl") {
            let mut command = self.command(kubectl);
            let _ = command.as_std_mut().args(arguments).output();
        }
    }

    /// Runs `work` in the outer namespace, where the addresses of callers outside the cluster are.
    ///
    /// # Errors
    /// The error of `work`.
    pub async fn outside<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.api.network.run(work).await
    }

    /// A kubeconfig of a ServiceAccount, with a token that the API server issued.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> anyhow::Result<PathBuf> {
        let token = self
            .kubectl(&["create", "token", account, "-n", namespace], "")
            .await?;
        let path = self
            .folder
            .path()
            .join(format!("kubeconfig-{namespace}-{account}"));
        std::fs::write(
            &path,
            control_plane::kubeconfig(self.folder.path(), token.trim()),
        )?;
        Ok(path)
    }

    /// The value `image` of the chart: the module's image in the cluster's registry.
    ///
    /// # Errors
    /// The cluster was started without a registry.
    pub fn image(&self) -> anyhow::Result<Value> {
        let registry = self.registry.as_ref();
        Ok(registry
            .context("cluster: started without a registry")?
            .image())
    }

    /// The folder of everything that the cluster's programs write: their logs, and `pods` with those of each pod.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn network(&self) -> Arc<Namespace> {
        Arc::clone(&self.api.network)
    }

    /// The hosts file of every container, in place of the cluster's DNS: the Services of Istio.
    pub(crate) fn hosts(&self) -> String {
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for pod in self.running().values() {
            if pod.object["metadata"]["labels"]["app"] == "istiod" {
                let revision = &pod.object["metadata"]["labels"]["istio.io/rev"];
                let service = match revision.as_str() {
                    None | Some("default") => "istiod".to_owned(),
                    Some(revision) => format!("istiod-{revision}"),
                };
                hosts += &format!("{} {service}.{ISTIO}.svc\n", pod.address);
            }
        }
        hosts
    }
}

/// What a kubelet says of its node. istiod makes sidecars native by the kubelet's version.
fn node_info(number: u8) -> Value {
    json!({
        "architecture": "amd64",
        "bootID": format!("boot-{number}"),
        "containerRuntimeVersion": "kwok",
        "kernelVersion": "kwok",
        "kubeProxyVersion": "",
        "kubeletVersion": "v1.34.1",
        "machineID": format!("machine-{number}"),
        "operatingSystem": "linux",
        "osImage": "kwok",
        "systemUUID": format!("system-{number}"),
    })
}

impl Deref for Cluster {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// Of every wait by kubectl.
const PATIENCE: &str = "--timeout=180s";

/// The namespace whose ServiceAccounts the API server's audit log covers: `audit.log` in [`Cluster::folder`].
pub const AUDITED: &str = "ci";
/// Where Istio's control plane is.
pub const ISTIO: &str = "istio-system";
const NODES: u8 = 3;
