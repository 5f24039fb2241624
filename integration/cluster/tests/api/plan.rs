//! A plan for a namespace with one exempt port: accepted, kept to the letter, and taken back.

use std::path::Path;

use anyhow::{Context, ensure};
use plainsight_cli::model::mode::Mode::{self, Permissive, Strict};
use plainsight_cluster::chart::{any_image, documents, plugins};
use plainsight_cluster::cluster::{Cluster, caller_address};
use plainsight_cluster::pod::Pod;
use plainsight_cluster::program::program;
use plainsight_cluster::strict;
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use serde_json::Value;

use crate::command::{Evidence, mesh::Mesh};
use crate::istiod::Istiod;

const NAMESPACE: &str = "finance";

/// Two workloads; one has a policy of its own already.
const WORKLOADS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: finance, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: finance}
spec: {selector: {app: ledger}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: invoices, namespace: finance}
spec: {selector: {app: invoices}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: finance}
spec:
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger}}
    spec: {containers: [{name: ledger, image: ledger, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: invoices, namespace: finance}
spec:
  selector: {matchLabels: {app: invoices}}
  template:
    metadata: {labels: {app: invoices, version: v2}}
    spec: {containers: [{name: invoices, image: invoices, ports: [{containerPort: 8080}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: invoices, namespace: finance, labels: {team: finance}, annotations: {owner: finance}}
spec:
  selector: {matchLabels: {app: invoices}}
  mtls: {mode: UNSET}
  portLevelMtls: {7000: {mode: STRICT}}
";

fn evidence() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.rules()
        .workload(NAMESPACE, "ledger", (1, 1), 15)
        .workload(NAMESPACE, "invoices", (1, 1), 16);
    mesh.caller(
        "batch/legacy-cron",
        "CronJob",
        "finance/ledger:9000",
        3 * 3_600,
        "",
    );
    mesh
}

/// Workload, port, mode before, mode that the plan promises.
const PROMISE: [(&str, u16, Mode, Mode); 6] = [
    ("ledger", 8080, Permissive, Strict),
    ("ledger", 9000, Permissive, Permissive),
    ("ledger", 6000, Permissive, Strict),
    ("invoices", 8080, Permissive, Strict),
    ("invoices", 7000, Strict, Strict),
    ("invoices", 6000, Permissive, Strict),
];

pub async fn a_plan_is_accepted_keeps_its_promise_and_is_rolled_back(cluster: &Cluster) {
    let outcome = run(cluster).await;
    cluster.end_namespace(NAMESPACE);
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.apply(WORKLOADS).await?;
    cluster.rollout(NAMESPACE, "deployment/ledger").await?;
    let pods = cluster.rollout(NAMESPACE, "deployment/invoices").await?;
    let pod = |workload: &str| {
        let mut pods = pods.iter();
        let found = pods.find(|pod| pod.name().starts_with(workload));
        found.map(AsRef::as_ref).context("no pod")
    };
    let istiod = Istiod::of(cluster).await?;
    let evidence = Evidence::start(cluster, &evidence()).await?;
    until(&istiod, &pod, "before", |(_, _, before, _)| before).await?;
    call(cluster, pod("ledger")?, [(8080, true), (9000, true)]).await?;

    let answer = evidence
        .ask(&["plan", "-n", NAMESPACE, "--dir", "plan"])
        .await?;
    ensure!(answer.code == 0, "plan: {answer:?}");
    let folder = evidence.folder().join("plan");
    for part in ["policies", "rollback"] {
        istio_accepts(&folder.join(part))?;
        let place = folder.join(part).display().to_string();
        let dry_run = [
            "apply",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            &place,
        ];
        cluster.kubectl(&dry_run, "").await?;
    }
    let exemptions = std::fs::read_to_string(folder.join("exemptions.values.yaml"))?;
    let mut values = documents(&exemptions)?.remove(0);
    values["image"] = any_image();
    let rendered = plugins(values)?;
    ensure!(rendered.contains("workload: ledger"), "{rendered}");

    std::fs::write(
        evidence.folder().join("naive.yaml"),
        strict::namespace(NAMESPACE),
    )?;
    let naive = evidence.ask(&["gate", "-f", "naive.yaml"]).await?;
    ensure!(
        naive.code == 2 && naive.out.contains("batch/legacy-cron"),
        "gate: {naive:?}"
    );
    let planned = evidence.ask(&["gate", "-f", "plan/policies"]).await?;
    ensure!(planned.code == 0, "gate: {planned:?}");

    let before = policies(cluster).await?;
    for file in files(&folder.join("policies"))? {
        cluster.kubectl(&["apply", "-f", &file], "").await?;
    }
    until(&istiod, &pod, "applied", |(_, _, _, after)| after).await?;
    call(cluster, pod("ledger")?, [(8080, false), (9000, true)]).await?;
    let report = evidence
        .ask(&["report", "-n", NAMESPACE, "-o", "json"])
        .await?;
    let report: Value = serde_json::from_str(&report.out).with_context(|| format!("{report:?}"))?;
    let modes: Vec<&Value> = report["namespaces"][0]["workloads"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|workload| &workload["mode"])
        .collect();
    ensure!(modes == ["STRICT", "STRICT, 9000 PERMISSIVE"], "{report:#}");
    ensure!(report["namespaces"][0]["decision"] == "done", "{report:#}");
    let again = evidence.ask(&["gate", "-f", "plan/policies"]).await?;
    ensure!(again.code == 0, "gate: {again:?}");
    let replanned = evidence.ask(&["plan", "-n", NAMESPACE]).await?;
    let empty = replanned.code == 0 && !replanned.out.contains("kind:");
    ensure!(empty, "plan of what is done: {replanned:?}");

    for file in files(&folder.join("rollback"))? {
        cluster.kubectl(&["apply", "-f", &file], "").await?;
    }
    until(&istiod, &pod, "rolled back", |(_, _, before, _)| before).await?;
    call(cluster, pod("ledger")?, [(8080, true), (9000, true)]).await?;
    let after = policies(cluster).await?;
    for (name, object) in &before {
        let now = after.iter().find(|(other, _)| other == name);
        let now = &now.with_context(|| format!("{name}: gone"))?.1;
        for field in ["labels", "annotations"] {
            for (key, value) in object["metadata"][field].as_object().into_iter().flatten() {
                let kept = key.starts_with("kubectl") || &now["metadata"][field][key] == value;
                ensure!(kept, "{name}: {field}: {key}: {now}");
            }
        }
    }
    Ok(())
}

type Promise = (&'static str, u16, Mode, Mode);

async fn until<'a>(
    istiod: &Istiod,
    pod: &impl Fn(&str) -> anyhow::Result<&'a Pod>,
    when: &str,
    wanted: impl Fn(Promise) -> Mode,
) -> anyhow::Result<()> {
    eventually(when, || async {
        for promise in PROMISE {
            let mode = istiod.inbound(pod(promise.0)?).await?.mode(promise.1)?;
            ensure!(
                mode == wanted(promise),
                "{}:{}: {mode}",
                promise.0,
                promise.1
            );
        }
        Ok(())
    })
    .await
}

/// Plaintext calls, served or refused.
async fn call(cluster: &Cluster, pod: &Pod, ports: [(u16, bool); 2]) -> anyhow::Result<()> {
    for (port, served) in ports {
        eventually("plaintext", || async {
            let caller = Caller::http1(&caller_address(1).to_string());
            let to = (pod.address, port).into();
            let outcome = cluster.outside(async move { caller.call(to).await }).await;
            ensure!(outcome.is_ok() == served, "port {port}: {outcome:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn istio_accepts(folder: &Path) -> anyhow::Result<()> {
    for file in files(folder)? {
        let output = std::process::Command::new(program("istioctl")?)
            .args(["validate", "-f", &file])
            .output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let accepted = output.status.success() && !(message + &stdout).contains("Warning");
        ensure!(
            accepted,
            "{file}: {}{stdout}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// In the order in which they are applied.
fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?;
    let mut files = entries
        .map(|entry| Ok(entry?.path().display().to_string()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{}: empty", folder.display());
    Ok(files)
}

async fn policies(cluster: &Cluster) -> anyhow::Result<Vec<(String, Value)>> {
    let list = cluster
        .get(&["peerauthentications", "-n", NAMESPACE])
        .await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| {
        item["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Ok(items.into_iter().map(|item| (name(&item), item)).collect())
}
