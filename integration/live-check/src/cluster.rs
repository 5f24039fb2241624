//! What a cluster would add to the real Envoys: kube-state-metrics, and the series of sidecars that a stock Envoy cannot
//! show (`istio.stats` and peer metadata are Istio's own filters).

use std::fmt::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::page::Page;

/// Pods that exist as a page only: namespace, name, and why they are played.
pub const PODS: [(&str, &str, &str); 2] = [
    (
        "shop",
        "cart-1",
        "Istio counts its requests and plainsight is not there",
    ),
    (
        "bank",
        "vault-2",
        "claims need Istio's peer metadata, and no value can be made unreadable from outside",
    ),
];

/// Who holds which address in the played cluster.
pub mod addresses {
    /// A pod of the CronJob `shop/legacy-cron`.
    pub const CRON: &str = "127.0.0.7";
    /// The node `node-1`.
    pub const NODE: &str = "127.0.0.9";
    /// The pod of the StatefulSet `monitoring/prometheus`.
    pub const PROMETHEUS: &str = "127.0.0.10";
    /// A pod of the Deployment `finance/reports`.
    pub const REPORTS: &str = "127.0.0.11";
    /// Nobody that Kubernetes knows.
    pub const STRANGER: &str = "127.0.0.13";
    /// One more.
    pub const STRANGER_TOO_MANY: &str = "127.0.0.14";
    /// A pod of the Deployment `finance/old-client`.
    pub const OLD_CLIENT: &str = "127.0.0.16";
    /// Comes to a namespace that is ready.
    pub const NEWCOMER: &str = "127.0.0.17";
    /// Comes to a port that is ready.
    pub const PORT_NEWCOMER: &str = "127.0.0.18";
    /// A pod with a sidecar.
    pub const SIDECAR: &str = "127.0.0.20";
    /// A virtual machine in the block that the configuration calls `legacy-vms`.
    pub const MACHINE: &str = "127.0.1.5";
}

/// The pages.
pub struct Cluster {
    /// kube-state-metrics.
    pub kube_state_metrics: Page,
    /// The played pods, in the order of [`PODS`].
    pub pods: Vec<Page>,
    /// Istio's counters of the real pod `shop/web-1`.
    pub web: Page,
}

impl Cluster {
    /// Starts the pages.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> anyhow::Result<Self> {
        let started = Instant::now();
        let names = kube_state_metrics();
        Ok(Self {
            kube_state_metrics: Page::start(move || names.clone()).await?,
            pods: vec![
                Page::start(move || istio("cart", started)).await?,
                Page::start(|| VAULT_2.to_owned()).await?,
            ],
            web: Page::start(move || istio("web", started)).await?,
        })
    }
}

/// What plainsight would show, in its stock form.
const VAULT_2: &str = "\
plainsight_build_info{tag=\"version=0.1.0\"} 1
plainsight_caller_claims{tag=\"source_ip=127.0.0.13,claimed_workload=legacy-cron,claimed_workload_namespace=shop\"} 1
plainsight_attribute_errors_total 2
plainsight_overflow_total 0
plainsight_config_errors 0
";

/// <https://istio.io/latest/docs/reference/config/metrics/>: ten requests a second.
fn istio(workload: &str, since: Instant) -> String {
    let count = since.elapsed().as_secs_f64() * 10.0;
    format!(
        "istio_requests_total{{reporter=\"destination\",destination_workload=\"{workload}\",\
         destination_workload_namespace=\"shop\",connection_security_policy=\"none\",response_code=\"200\"}} {count:.0}\n"
    )
}

/// Metrics and labels as documented in
/// <https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload>.
fn kube_state_metrics() -> String {
    let mut page = format!(
        "kube_node_info{{node=\"node-1\",internal_ip=\"{}\"}} 1\n",
        addresses::NODE
    );
    let pods = [
        (
            "shop",
            "legacy-cron-29392260-kd8wz",
            addresses::CRON,
            "Job",
            "legacy-cron-29392260",
        ),
        (
            "kube-system",
            "kube-proxy-5mzkp",
            addresses::NODE,
            "DaemonSet",
            "kube-proxy",
        ),
        (
            "monitoring",
            "node-exporter-x7x2q",
            addresses::NODE,
            "DaemonSet",
            "node-exporter",
        ),
        (
            "monitoring",
            "prometheus-0",
            addresses::PROMETHEUS,
            "StatefulSet",
            "prometheus",
        ),
        (
            "finance",
            "reports-7d9f8c6b5-x2x7q",
            addresses::REPORTS,
            "ReplicaSet",
            "reports-7d9f8c6b5",
        ),
        (
            "finance",
            "old-client-5c6d-2k4lm",
            addresses::OLD_CLIENT,
            "ReplicaSet",
            "old-client-5c6d",
        ),
        (
            "shop",
            "storefront-66b5-9zq8w",
            addresses::SIDECAR,
            "ReplicaSet",
            "storefront-66b5",
        ),
    ];
    let hour_ago = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs().saturating_sub(3600));
    for (namespace, pod, address, kind, owner) in pods {
        let host_network = address == addresses::NODE;
        let id = format!("namespace=\"{namespace}\",pod=\"{pod}\",uid=\"uid-of-{pod}\"");
        let _ = writeln!(
            page,
            "kube_pod_info{{{id},host_ip=\"{}\",pod_ip=\"{address}\",node=\"node-1\",created_by_kind=\"{kind}\",\
             created_by_name=\"{owner}\",host_network=\"{host_network}\"}} 1\n\
             kube_pod_ips{{{id},ip=\"{address}\",ip_family=\"4\"}} 1\n\
             kube_pod_start_time{{{id}}} {hour_ago}",
            addresses::NODE
        );
        for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
            let is = u8::from(phase == "Running");
            let _ = writeln!(page, "kube_pod_status_phase{{{id},phase=\"{phase}\"}} {is}");
        }
    }
    for (namespace, set, name) in [
        ("finance", "reports-7d9f8c6b5", "reports"),
        ("finance", "old-client-5c6d", "old-client"),
        ("shop", "storefront-66b5", "storefront"),
    ] {
        let _ = writeln!(
            page,
            "kube_replicaset_owner{{namespace=\"{namespace}\",replicaset=\"{set}\",owner_kind=\"Deployment\",\
             owner_name=\"{name}\",owner_is_controller=\"true\"}} 1"
        );
    }
    page.push_str(
        "kube_job_owner{namespace=\"shop\",job_name=\"legacy-cron-29392260\",owner_kind=\"CronJob\",\
         owner_name=\"legacy-cron\",owner_is_controller=\"true\"} 1\n",
    );
    page
}
