//! The table of effective modes: the same policies in the API, istiod's listeners and the command's answer.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use plainsight_cli::model::mode::Mode;
use plainsight_cluster::cluster::{Cluster, ISTIO};
use plainsight_harness::eventually::eventually;
use serde_json::{Value, json};

use crate::command;
use crate::istiod::{Inbound, Istiod};

#[path = "../../../../cli/tests/effective_mode/table.rs"]
mod table;

use table::{At, Row, TABLE};

/// The policies that the test applies.
const SELECTOR: &str = "test=modes";
const NAMESPACE: &str = "modes";

/// The workload of the table, and one whose policy shows how far istiod is.
const WORKLOADS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: modes, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: modes-elsewhere}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: modes}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80}, {name: tcp, port: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: modes}
spec:
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart, version: v1}}
    spec: {containers: [{name: cart, image: cart, ports: [{containerPort: 80}, {containerPort: 9000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: marker, namespace: modes}
spec:
  selector: {matchLabels: {app: marker}}
  template:
    metadata: {labels: {app: marker}}
    spec: {containers: [{name: marker, image: marker}]}
";

fn policy(name: &str, (at, _, mode, ports): Row) -> Value {
    let (namespace, app) = match at {
        At::Root => (ISTIO, None),
        At::Namespace => (NAMESPACE, None),
        At::Workload => (NAMESPACE, Some("cart")),
        At::Other => (NAMESPACE, Some("web")),
        At::RootSelector => (ISTIO, Some("cart")),
        At::Elsewhere => ("modes-elsewhere", None),
    };
    let mtls =
        |mode: Option<Mode>| json!({"mode": mode.map_or("UNSET".into(), |mode| mode.to_string())});
    let mut spec = json!({"mtls": mtls(mode)});
    if let Some(app) = app {
        spec["selector"] = json!({"matchLabels": {"app": app}});
    }
    for (port, mode) in ports {
        spec["portLevelMtls"][port.to_string()] = mtls(*mode);
    }
    authentication(namespace, name, spec)
}

fn authentication(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": name, "namespace": namespace, "labels": {"test": "modes"}},
        "spec": spec,
    })
}

/// Istio's definition refuses port levels without a selector. The command meets them in files only.
fn is_refused(rows: &[Row]) -> bool {
    rows.iter()
        .any(|(at, _, _, ports)| matches!(at, At::Root | At::Namespace) && !ports.is_empty())
}

/// The policies of a case in groups: of two that compete, the younger one is made in a later second.
fn by_age(case: usize, rows: &[Row]) -> Vec<Vec<Value>> {
    let mut rows: Vec<(usize, Row)> = rows.iter().copied().enumerate().collect();
    rows.sort_by_key(|(_, (_, age, _, _))| *age);
    let mut groups: Vec<Vec<(usize, Row)>> = vec![Vec::new()];
    for (index, row) in rows {
        let last = groups.last_mut().expect("never empty");
        match last
            .iter()
            .any(|(_, other)| other.0 == row.0 && other.1 < row.1)
        {
            true => groups.push(vec![(index, row)]),
            false => last.push((index, row)),
        }
    }
    let named = |(index, row)| policy(&format!("case-{case}-{index}"), row);
    groups
        .into_iter()
        .map(|group| group.into_iter().map(named).collect())
        .collect()
}

fn stream(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

fn second() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

async fn remove_all(cluster: &Cluster) -> anyhow::Result<()> {
    let arguments = [
        "delete",
        "peerauthentications",
        "-A",
        "-l",
        SELECTOR,
        "--wait=false",
    ];
    cluster.kubectl(&arguments, "").await?;
    Ok(())
}

/// Puts a case in force. The marker is applied last: where it has arrived, all of the case has.
async fn apply(cluster: &Cluster, case: usize, rows: &[Row]) -> anyhow::Result<u16> {
    let port = 10_000 + u16::try_from(case)?;
    let marker = authentication(
        NAMESPACE,
        &format!("marker-{case}"),
        json!({
            "selector": {"matchLabels": {"app": "marker"}},
            "portLevelMtls": {port.to_string(): {"mode": "DISABLE"}},
        }),
    );
    let mut groups = by_age(case, rows);
    groups.last_mut().context("no group")?.push(marker);
    eventually(
        "policies of the same age are made in the same second",
        || async {
            remove_all(cluster).await?;
            for (number, group) in groups.iter().enumerate() {
                cluster.apply(&stream(group)).await?;
                if number + 1 < groups.len() {
                    let made = second();
                    eventually("the next second", || async {
                        ensure!(second() > made, "still second {made}");
                        Ok(())
                    })
                    .await?;
                }
            }
            let list = cluster
                .get(&["peerauthentications", "-A", "-l", SELECTOR])
                .await?;
            let made = |index: usize| {
                let name = format!("case-{case}-{index}");
                let mut items = list["items"].as_array().into_iter().flatten();
                let item = items.find(|item| item["metadata"]["name"] == name.as_str());
                item.map(|item| item["metadata"]["creationTimestamp"].clone())
            };
            for (index, row) in rows.iter().enumerate() {
                for (other_index, other) in rows.iter().enumerate().take(index) {
                    let alike = made(index) == made(other_index);
                    ensure!(
                        row.0 != other.0 || alike == (row.1 == other.1),
                        "case {case}: {list}"
                    );
                }
            }
            Ok(())
        },
    )
    .await?;
    Ok(port)
}

pub async fn the_mode_of_every_combination_is_istiods(cluster: &Cluster) {
    let outcome = compare(cluster).await;
    remove_all(cluster).await.unwrap();
    cluster.end_namespace(NAMESPACE);
    let compared = outcome.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(compared >= 30, "{compared} combinations");
}

async fn compare(cluster: &Cluster) -> anyhow::Result<usize> {
    cluster.apply(WORKLOADS).await?;
    cluster.rollout(NAMESPACE, "deployment/marker").await?;
    let pods = cluster.rollout(NAMESPACE, "deployment/cart").await?;
    let of = |prefix: &str| {
        let mut pods = pods.iter();
        pods.find(|pod| pod.name().starts_with(prefix))
            .context("no pod")
    };
    let (cart, marker) = (of("cart")?, of("marker")?);
    let istiod = Istiod::of(cluster).await?;
    let (mut differences, mut compared) = (Vec::new(), 0);
    for (case, (rows, other, special)) in TABLE.iter().enumerate() {
        if is_refused(rows) {
            let refusal = apply_once(cluster, case, rows).await;
            ensure!(
                refusal.contains("portLevelMtls requires selector"),
                "case {case}: {refusal}"
            );
            continue;
        }
        let port = apply(cluster, case, rows).await?;
        let inbound: Inbound = eventually("istiod has pushed the case", || async {
            let at_marker = istiod.inbound(marker).await?;
            ensure!(
                at_marker.has_own_chains(port),
                "case {case}: not at the marker"
            );
            let inbound = istiod.inbound(cart).await?;
            ensure!(
                inbound.push >= at_marker.push,
                "case {case}: not at the workload"
            );
            Ok(inbound)
        })
        .await?;
        let read = command::cluster(cluster).await?;
        let mut read_pods = read.pods.iter().flatten();
        let read_pod = read_pods
            .find(|pod| pod.name == cart.name())
            .context("no pod")?;
        let effective = read.policies().effective(NAMESPACE, &read_pod.labels);
        // The last port is in no Service.
        for (port, wanted) in [(80, *other), (9000, *special), (7000, *other)] {
            let (istiods, commands) = (inbound.mode(port)?, effective.port(port));
            if istiods != commands || istiods != wanted {
                differences.push(format!(
                    "case {case}, port {port}: table {wanted}, command {commands}, istiod {istiods}: {rows:?}"
                ));
            }
        }
        compared += 1;
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(compared)
}

/// The API's refusal.
async fn apply_once(cluster: &Cluster, case: usize, rows: &[Row]) -> String {
    let objects: Vec<Value> = by_age(case, rows).concat();
    match cluster.apply(&stream(&objects)).await {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}
