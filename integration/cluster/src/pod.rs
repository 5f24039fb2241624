//! A pod: what a container runtime would make of it.
//!
//! kwok plays the kubelet in the API. Here the pod gets a network namespace with its address, Istio's containers run
//! with the arguments, environment and volumes that the injected pod has, and the test's application serves the ports
//! of all other containers.

mod container;
mod volumes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail, ensure};
use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, Reply};
use plainsight_harness::exposition::Scrape;
use plainsight_harness::process::Process;
use serde_json::Value;

use crate::cluster::{Cluster, ROUTER};
use crate::network::Namespace;
use container::Container;

/// Envoy's metrics: <https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio>.
const PROMETHEUS_PORT: u16 = 15090;
const ADMIN_PORT: u16 = 15000;

/// A running pod. Dropping it ends its programs and removes its namespace.
pub struct Pod {
    /// The pod as the API had it when it was started.
    pub object: Value,
    /// Its address.
    pub address: Ipv4Addr,
    programs: Vec<Program>,
    apps: Vec<App>,
    network: Arc<Namespace>,
    outside: Arc<Namespace>,
}

struct Program {
    container: Container,
    /// None while it is ended.
    process: Mutex<Option<Process>>,
}

impl Program {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pod {
    /// Runs a pod that has an address and a node.
    pub(crate) async fn start(cluster: &Cluster, object: Value) -> anyhow::Result<Self> {
        let name = format!(
            "pod {}/{}",
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        );
        Self::start_unnamed(cluster, object).await.context(name)
    }

    async fn start_unnamed(cluster: &Cluster, object: Value) -> anyhow::Result<Self> {
        let address: Ipv4Addr = object["status"]["podIP"]
            .as_str()
            .context("no status.podIP")?
            .parse()?;
        let outside = cluster.network();
        // A pod of the node's network has the node's address, which is one of the outer namespace.
        let network = if object["spec"]["hostNetwork"] == true {
            Arc::clone(&outside)
        } else {
            let network = Arc::new(Namespace::new("pod")?);
            outside.route_to(&network, address, ROUTER)?;
            network
        };
        let uid = object["metadata"]["uid"].as_str().context("no uid")?;
        let folder = cluster.folder().join("pods").join(uid);
        let mut pod = Self {
            object: object.clone(),
            address,
            programs: Vec::new(),
            apps: Vec::new(),
            network,
            outside,
        };
        let list = |field: &str| object["spec"][field].as_array().into_iter().flatten();
        for (spec, init) in list("initContainers")
            .map(|spec| (spec, spec["restartPolicy"] != "Always"))
            .chain(list("containers").map(|spec| (spec, false)))
        {
            let prepared = Container::prepare(cluster, &object, spec, &folder).await?;
            match prepared {
                Some(container) if init => container.run(&pod.network).await?,
                Some(container) => {
                    let process = Mutex::new(Some(pod.start_container(&container).await?));
                    pod.programs.push(Program { container, process });
                }
                None if init => {}
                None => pod.serve(spec).await?,
            }
        }
        Ok(pod)
    }

    async fn start_container(&self, container: &Container) -> anyhow::Result<Process> {
        let mut process = container.start(&self.network)?;
        if let Some((port, path)) = container.readiness() {
            let ready = process.ready("readiness", async || {
                let reply = self.get(port, path).await?;
                let body = String::from_utf8_lossy(&reply.body);
                ensure!(reply.status == 200, "status {}: {body}", reply.status);
                Ok(())
            });
            if let Err(error) = ready.await {
                // The agent logs every probe: what matters is far from the tail.
                let log = process.log();
                let lines = log
                    .lines()
                    .filter(|line| !line.contains("Envoy proxy is NOT ready"));
                let tail: Vec<_> = lines.collect();
                let error = error.root_cause().to_string();
                let error = error.lines().next().unwrap_or_default();
                bail!("{}: {error}; its log:\n{}", container.name, tail.join("\n"));
            }
        }
        Ok(process)
    }

    /// Ends a container's program at once, as the kernel does when memory runs out. Its files stay.
    ///
    /// # Errors
    /// No program runs in it.
    pub fn end(&self, container: &str) -> anyhow::Result<()> {
        let process = self.program(container)?.process().take();
        process.with_context(|| format!("{container}: ended already"))?;
        Ok(())
    }

    /// Starts an ended program again, as a kubelet does: in the same pod, with the same files.
    ///
    /// # Errors
    /// It does not become ready; the message holds its log.
    pub async fn restart(&self, container: &str) -> anyhow::Result<()> {
        let program = self.program(container)?;
        let process = self.start_container(&program.container).await?;
        *program.process() = Some(process);
        Ok(())
    }

    /// Starts the application on every port of a container.
    async fn serve(&mut self, spec: &Value) -> anyhow::Result<()> {
        let address = match Arc::ptr_eq(&self.network, &self.outside) {
            true => self.address,
            false => Ipv4Addr::UNSPECIFIED,
        };
        for port in spec["ports"].as_array().into_iter().flatten() {
            let number = port["containerPort"].as_u64().context("no containerPort")?;
            let address = SocketAddr::from((address, u16::try_from(number)?));
            let app = self.network.run(App::start_at(address)).await;
            self.apps.push(app.with_context(|| address.to_string())?);
        }
        Ok(())
    }

    /// The name in its namespace.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The uid that no other pod ever has.
    pub fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Its network; it lives as long as somebody holds it.
    pub(crate) fn network(&self) -> Arc<Namespace> {
        Arc::clone(&self.network)
    }

    /// Whether istiod's webhook injected the sidecar.
    pub fn has_sidecar(&self) -> bool {
        self.program("istio-proxy").is_ok()
    }

    /// Runs `work` inside the pod. What connects from there is the pod's traffic: with a sidecar it goes through it.
    ///
    /// # Errors
    /// The error of `work`.
    pub async fn run<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        self.network.run(work).await
    }

    /// A call from the pod's address. There is no kube-proxy: only a sidecar reaches the address of a Service, and on an
    /// HTTP port only for requests with the Service's name as their `host` header.
    ///
    /// # Errors
    /// The caller's error.
    pub async fn call(&self, caller: &Caller, to: SocketAddr) -> anyhow::Result<Reply> {
        let mut caller = caller.clone();
        caller.source = IpAddr::V4(self.address);
        self.run(async move { caller.call(to).await }).await
    }

    /// What its sidecar shows Prometheus, on the port that is never captured.
    ///
    /// # Errors
    /// No listener, or the answer is not an exposition.
    pub async fn scrape(&self) -> anyhow::Result<Scrape> {
        Scrape::parse(&self.get_metrics("/stats/prometheus").await?)
    }

    /// What the sidecar's port for Prometheus answers to a path.
    ///
    /// # Errors
    /// No listener.
    pub async fn get_metrics(&self, path: &str) -> anyhow::Result<String> {
        let reply = self.get(PROMETHEUS_PORT, path).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    async fn get(&self, port: u16, path: &str) -> anyhow::Result<Reply> {
        let caller = Caller::http1(&ROUTER.to_string());
        let (to, path) = ((self.address, port).into(), path.to_owned());
        self.outside
            .run(async move { caller.get(to, &path).await })
            .await
    }

    /// What the sidecar's own interface answers, which listens inside the pod only.
    ///
    /// # Errors
    /// No sidecar, or the answer is not JSON.
    pub async fn ask_envoy(&self, path: &str) -> anyhow::Result<Value> {
        let path = path.to_owned();
        let ask = async move {
            let to = (Ipv4Addr::LOCALHOST, ADMIN_PORT).into();
            Caller::http1("127.0.0.1").get(to, &path).await
        };
        Ok(serde_json::from_slice(&self.run(ask).await?.body)?)
    }

    fn program(&self, container: &str) -> anyhow::Result<&Program> {
        let mut programs = self.programs.iter();
        let found = programs.find(|program| program.container.name == container);
        found.with_context(|| format!("pod {}: no program runs in {container}", self.name()))
    }

    /// The log of a container whose program runs, or why there is none. `istio-proxy`: the agent's and Envoy's.
    pub fn log(&self, container: &str) -> String {
        match self.program(container) {
            Ok(program) => match &*program.process() {
                Some(process) => process.log(),
                None => format!("{container}: ended"),
            },
            Err(error) => error.to_string(),
        }
    }

    /// A file of a container whose program runs.
    ///
    /// # Errors
    /// There is no such container.
    pub fn file(&self, container: &str, path: &str) -> anyhow::Result<PathBuf> {
        let root = self.program(container)?.container.root();
        Ok(root.join(path.trim_start_matches('/')))
    }

    /// The bootstrap that the agent rendered from Istio's template.
    ///
    /// # Errors
    /// The file is missing, or not JSON.
    pub fn bootstrap(&self) -> anyhow::Result<Value> {
        let path = self.file("istio-proxy", "/etc/istio/proxy/envoy-rev.json")?;
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The modules that the agent has fetched.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn fetched_modules(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut folders = vec![self.file("istio-proxy", "/var/lib/istio/data")?];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "wasm")
                {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}
