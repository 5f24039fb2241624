//! A mesh in words: evidence as the rules record it, and the cluster's objects.

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub const DAY: i64 = 86_400;

/// Series with their samples, rendered as OpenMetrics.
pub struct Mesh {
    pub now: i64,
    series: BTreeMap<String, Vec<(String, f64)>>,
}

impl Mesh {
    /// A mesh whose rules are evaluated until ten minutes from now.
    pub fn new() -> Mesh {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        Mesh {
            now: i64::try_from(now).unwrap(),
            series: BTreeMap::new(),
        }
    }

    /// A series with one value, for as long as the test runs.
    #[expect(clippy::cast_precision_loss, reason = "test values")]
    pub fn series(&mut self, name: &str, labels: &str, value: i64) -> &mut Mesh {
        self.series
            .entry(name.into())
            .or_default()
            .push((labels.into(), value as f64));
        self
    }

    /// Rules that are there; their time of evaluation is the sample's own.
    pub fn rules(&mut self) -> &mut Mesh {
        let name = "plainsight:rules:evaluated_timestamp_seconds";
        let evaluated = self.series.entry(name.into()).or_default();
        for group in ["evidence", "coverage"] {
            evaluated.push((format!("group=\"{group}\""), f64::NAN));
        }
        self
    }

    /// A workload with this number of pods, reporting for this number of days.
    pub fn workload(
        &mut self,
        namespace: &str,
        workload: &str,
        (reporting, pods): (i64, i64),
        days: i64,
    ) -> &mut Mesh {
        let labels = format!(
            "destination_workload_namespace=\"{namespace}\",destination_workload=\"{workload}\""
        );
        self.series("plainsight:workload:pods", &labels, pods);
        self.series("plainsight:workload:pods_reporting", &labels, reporting);
        if reporting == pods {
            let since = self.now - days * DAY - 3_600;
            self.series(
                "plainsight:workload:reporting_since_timestamp_seconds",
                &labels,
                since,
            );
        }
        self.series(
            "plainsight:workload:proven",
            &format!("{labels},window=\"1h\""),
            i64::from(reporting == pods),
        )
    }

    /// A caller of a port, last seen this number of seconds ago. More labels may follow.
    pub fn caller(
        &mut self,
        caller: &str,
        kind: &str,
        to: &str,
        ago: i64,
        more: &str,
    ) -> &mut Mesh {
        let (namespace, rest) = to.split_once('/').unwrap();
        let (workload, port) = rest.split_once(':').unwrap();
        let mut labels = format!(
            "caller=\"{caller}\",caller_kind=\"{kind}\",destination_workload_namespace=\"{namespace}\",destination_workload=\"{workload}\",destination_port=\"{port}\""
        );
        match caller.split_once('/') {
            Some((own, _)) => write!(labels, ",caller_namespace=\"{own}\"").unwrap(),
            None => write!(labels, ",source_ip=\"10.0.0.9\"").unwrap(),
        }
        for (key, value) in [
            ("peer", "plaintext"),
            ("strict", "reject"),
            ("traffic", "app"),
        ] {
            if !more.contains(&format!("{key}=")) {
                write!(labels, ",{key}=\"{value}\"").unwrap();
            }
        }
        if !more.is_empty() {
            write!(labels, ",{more}").unwrap();
        }
        let now = self.now;
        self.series(
            "plainsight:caller:last_seen_timestamp_seconds",
            &labels,
            now - ago,
        );
        self.series(
            "plainsight:caller:first_seen_timestamp_seconds",
            &labels,
            now - ago - 2 * DAY,
        )
    }

    /// Samples every minute from fifteen minutes ago to ten minutes from now.
    pub fn openmetrics(&self) -> String {
        self.samples(self.now + 600)
    }

    /// Samples every minute from fifteen minutes ago.
    #[expect(clippy::cast_precision_loss, reason = "test values")]
    pub fn samples(&self, until: i64) -> String {
        let mut text = String::new();
        for (name, series) in &self.series {
            writeln!(text, "# TYPE {name} gauge").unwrap();
            for (labels, value) in series {
                let mut at = self.now - 900;
                while at <= until {
                    let value = if value.is_nan() { at as f64 } else { *value };
                    writeln!(text, "{name}{{{labels}}} {value} {at}").unwrap();
                    at += 60;
                }
            }
        }
        text.push_str("# EOF\n");
        text
    }
}

/// The mesh of the example: one namespace of each decision.
pub fn example() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.rules();
    mesh.workload("shop", "cart", (6, 6), 20)
        .workload("shop", "web", (8, 8), 16);
    mesh.workload("billing", "ledger", (4, 4), 15)
        .workload("billing", "invoices", (5, 5), 17);
    mesh.caller(
        "batch/legacy-cron",
        "CronJob",
        "billing/ledger:9000",
        3 * 3_600 + 60,
        "",
    );
    mesh.caller(
        "ledger-vms",
        "Range",
        "billing/ledger:9000",
        5 * 3_600,
        "source_name=\"ledger-vms\"",
    );
    mesh.workload("hr", "payroll", (2, 3), 2)
        .workload("hr", "people", (3, 3), 2);
    for number in 0..3 {
        mesh.caller(
            &format!("old/app-{number}"),
            "Deployment",
            "hr/payroll:8080",
            7_300,
            "",
        );
    }
    mesh.caller(
        "node-1",
        "Node",
        "hr/people:8080",
        7_400,
        "traffic=\"probe\"",
    );
    for pod in ["payroll-7c9d-x2k", "payroll-7c9d-abc", "payroll-7c9d-def"] {
        let labels = format!("namespace=\"hr\",pod=\"{pod}\"");
        let workload = "destination_workload_namespace=\"hr\",destination_workload=\"payroll\"";
        mesh.series("plainsight:pod:sidecar", &format!("{labels},{workload}"), 1);
        mesh.series(
            "kube_pod_container_info",
            &format!("{labels},container=\"istio-proxy\""),
            1,
        );
        if pod != "payroll-7c9d-x2k" {
            mesh.series(
                "plainsight_build_info",
                &format!("{labels},version=\"0.2.0\""),
                1,
            );
        }
    }
    mesh.workload("payments", "gateway", (4, 4), 40);
    mesh.caller(
        "old/app-0",
        "Deployment",
        "payments/gateway:443",
        12 * DAY + 600,
        "",
    );
    mesh
}

/// A pod of a Deployment, as the API shows it.
pub fn pod(namespace: &str, workload: &str, number: u32, sidecar: bool) -> String {
    let proxy = if sidecar {
        "\n  - name: istio-proxy"
    } else {
        ""
    };
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {workload}-7c9d-{number}\n  namespace: {namespace}\n  labels: {{app: {workload}, pod-template-hash: 7c9d}}\n  ownerReferences:\n  - {{apiVersion: apps/v1, kind: ReplicaSet, name: {workload}-7c9d, uid: a, controller: true}}\nspec:\n  containers:\n  - name: app{proxy}\nstatus: {{phase: Running}}\n"
    )
}

/// The objects of the example: the pods, and payments STRICT.
pub fn objects() -> String {
    let mut text = String::new();
    for (namespace, workload) in [
        ("shop", "cart"),
        ("shop", "web"),
        ("billing", "ledger"),
        ("billing", "invoices"),
        ("hr", "payroll"),
        ("hr", "people"),
        ("payments", "gateway"),
    ] {
        text.push_str(&pod(namespace, workload, 1, true));
        text.push_str(&pod(namespace, workload, 2, true));
    }
    text.push_str(&pod("old", "app-0", 1, false));
    text.push_str("---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: payments, creationTimestamp: 2024-01-01T00:00:00Z}\nspec: {mtls: {mode: STRICT}}\n");
    text
}
