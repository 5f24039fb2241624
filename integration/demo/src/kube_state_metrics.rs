//! A stand-in for kube-state-metrics: the cast as a cluster would show it.
//!
//! Metrics and labels as documented in
//! <https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload>.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::callers::{CAST, Home};

/// A running stand-in; it stops when dropped.
pub struct KubeStateMetrics {
    address: SocketAddr,
    task: AbortHandle,
}

impl KubeStateMetrics {
    /// Starts on any free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let page = Bytes::from(exposition(SystemTime::now()));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let page = page.clone();
                let answer = service_fn(move |_| {
                    let page = page.clone();
                    async move { Ok::<_, Infallible>(Response::new(Full::new(page))) }
                });
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // A scrape that breaks off is repeated by Prometheus.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self {
            address,
            task: task.abort_handle(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for KubeStateMetrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every pod of the demo runs on.
const NODE: &str = "node-1";

/// The page, for pods that were started an hour before `now`.
fn exposition(now: SystemTime) -> String {
    let hour_ago = (now - Duration::from_secs(3600))
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let node_address = CAST
        .iter()
        .find(|member| member.home == Home::Node(NODE))
        .map_or("", |member| member.address);
    let mut page = format!("kube_node_info{{node=\"{NODE}\",internal_ip=\"{node_address}\"}} 1\n");
    let mut pod = |namespace: &str,
                   pod: &str,
                   address: &str,
                   kind: &str,
                   owner: &str,
                   host_network: bool| {
        let id = format!("namespace=\"{namespace}\",pod=\"{pod}\",uid=\"uid-of-{pod}\"");
        let _ = writeln!(
            page,
            "kube_pod_info{{{id},host_ip=\"{node_address}\",pod_ip=\"{address}\",node=\"{NODE}\",\
             created_by_kind=\"{kind}\",created_by_name=\"{owner}\",host_network=\"{host_network}\"}} 1"
        );
        let _ = writeln!(page, "kube_pod_start_time{{{id}}} {hour_ago}");
        for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
            let is = u8::from(phase == "Running");
            let _ = writeln!(page, "kube_pod_status_phase{{{id},phase=\"{phase}\"}} {is}");
        }
    };
    let mut owners = String::new();
    for member in &CAST {
        match member.home {
            Home::Deployment(namespace, name) => {
                let set = format!("{name}-7d9f8c6b5");
                pod(
                    namespace,
                    &format!("{set}-x2x7q"),
                    member.address,
                    "ReplicaSet",
                    &set,
                    false,
                );
                let _ = writeln!(
                    owners,
                    "kube_replicaset_owner{{namespace=\"{namespace}\",replicaset=\"{set}\",\
                     owner_kind=\"Deployment\",owner_name=\"{name}\",owner_is_controller=\"true\"}} 1"
                );
            }
            Home::CronJob(namespace, name) => {
                let job = format!("{name}-29392260");
                pod(
                    namespace,
                    &format!("{job}-kd8wz"),
                    member.address,
                    "Job",
                    &job,
                    false,
                );
                let _ = writeln!(
                    owners,
                    "kube_job_owner{{namespace=\"{namespace}\",job_name=\"{job}\",\
                     owner_kind=\"CronJob\",owner_name=\"{name}\",owner_is_controller=\"true\"}} 1"
                );
            }
            Home::StatefulSet(namespace, name) => {
                pod(
                    namespace,
                    &format!("{name}-0"),
                    member.address,
                    "StatefulSet",
                    name,
                    false,
                );
            }
            // Two pods with the node's address: whoever calls from it must be called the node.
            Home::Node(_) => {
                for daemon in ["kube-proxy", "node-exporter"] {
                    pod(
                        "kube-system",
                        &format!("{daemon}-5mzkp"),
                        member.address,
                        "DaemonSet",
                        daemon,
                        true,
                    );
                }
            }
            Home::Machine => {}
        }
    }
    page + &owners
}
