//! A stand-in for kube-state-metrics: the pods of a small cluster.
//!
//! Metrics and labels as documented in
//! <https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload>.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::page::Page;

/// A running stand-in. It stops when dropped.
pub struct KubeStateMetrics {
    page: Page,
}

impl KubeStateMetrics {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No free port.
    pub async fn start(cluster: Cluster) -> anyhow::Result<Self> {
        let text = cluster.text;
        let page = Page::start(move || text.clone()).await?;
        Ok(Self { page })
    }

    /// Its listening address.
    pub fn address(&self) -> SocketAddr {
        self.page.address()
    }
}

/// A cluster of one node, whose pods started an hour ago.
pub struct Cluster {
    node: String,
    node_address: String,
    started: u64,
    text: String,
    /// The labels of the pod added last.
    latest: String,
}

impl Cluster {
    /// A cluster without pods.
    pub fn new(node: &str, node_address: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            node: node.to_owned(),
            node_address: node_address.to_owned(),
            started: now.map_or(0, |now| now.as_secs().saturating_sub(3600)),
            latest: String::new(),
            text: format!("kube_node_info{{node=\"{node}\",internal_ip=\"{node_address}\"}} 1\n"),
        }
    }

    /// A pod of a Deployment, owned by its ReplicaSet.
    pub fn deployment(mut self, namespace: &str, name: &str, address: &str) -> Self {
        let set = format!("{name}-7d9f8c6b5");
        let _ = writeln!(
            self.text,
            "kube_replicaset_owner{{namespace=\"{namespace}\",replicaset=\"{set}\",\
             owner_kind=\"Deployment\",owner_name=\"{name}\",owner_is_controller=\"true\"}} 1"
        );
        self.pod(
            namespace,
            &format!("{set}-x2x7q"),
            address,
            "ReplicaSet",
            &set,
        )
    }

    /// A pod of a Job that a CronJob made.
    pub fn cron_job(mut self, namespace: &str, name: &str, address: &str) -> Self {
        let job = format!("{name}-29392260");
        let _ = writeln!(
            self.text,
            "kube_job_owner{{namespace=\"{namespace}\",job_name=\"{job}\",\
             owner_kind=\"CronJob\",owner_name=\"{name}\",owner_is_controller=\"true\"}} 1"
        );
        self.pod(namespace, &format!("{job}-kd8wz"), address, "Job", &job)
    }

    /// A pod of a StatefulSet.
    pub fn stateful_set(self, namespace: &str, name: &str, address: &str) -> Self {
        self.pod(
            namespace,
            &format!("{name}-0"),
            address,
            "StatefulSet",
            name,
        )
    }

    /// A pod of a DaemonSet with `hostNetwork`: it has the node's address.
    pub fn daemon_set(self, namespace: &str, name: &str) -> Self {
        let address = self.node_address.clone();
        self.pod(
            namespace,
            &format!("{name}-5mzkp"),
            &address,
            "DaemonSet",
            name,
        )
    }

    /// The pod added last has a sidecar.
    pub fn injected(mut self) -> Self {
        let id = &self.latest;
        let _ = writeln!(
            self.text,
            "kube_pod_container_info{{{id},container=\"istio-proxy\"}} 1\n\
             kube_pod_container_info{{{id},container=\"app\"}} 1"
        );
        self
    }

    fn pod(mut self, namespace: &str, pod: &str, address: &str, kind: &str, owner: &str) -> Self {
        let id = format!("namespace=\"{namespace}\",pod=\"{pod}\",uid=\"uid-of-{pod}\"");
        let _ = writeln!(
            self.text,
            "kube_pod_info{{{id},host_ip=\"{host}\",pod_ip=\"{address}\",node=\"{node}\",\
             created_by_kind=\"{kind}\",created_by_name=\"{owner}\",host_network=\"{host_network}\"}} 1\n\
             kube_pod_ips{{{id},ip=\"{address}\",ip_family=\"4\"}} 1\n\
             kube_pod_start_time{{{id}}} {started}",
            host = self.node_address,
            node = self.node,
            host_network = address == self.node_address,
            started = self.started,
        );
        for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
            let value = u8::from(phase == "Running");
            let _ = writeln!(
                self.text,
                "kube_pod_status_phase{{{id},phase=\"{phase}\"}} {value}"
            );
        }
        self.latest = id;
        self
    }
}
