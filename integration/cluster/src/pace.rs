//! The rules that the chart applied, at a pace that a test can wait for.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// A description of [`quicken`] for the reader of a transcript.
pub const NOTE: &str = "The rules are evaluated every 5 seconds instead of every 2 minutes, with the delays that belong to that \
    (`offset 2m`: 10 s; `offset 1m`: 2 s; a pod counts after 10 seconds instead of 5 minutes). Nothing else of them changes.";

const DELAYS: [(&str, &str); 3] = [
    ("offset 2m", "offset 10s"),
    ("offset 1m", "offset 2s"),
    ("> time() - 300", "> time() - 10"),
];

/// What proves readiness for the window of an hour; callers count for an hour in other rules.
const PROOF: [&str; 2] = ["<= bool time() - 3600", "<= bool time() - 20"];

/// Changes intervals and delays of the PrometheusRule in the API. Does nothing if that was done before.
///
/// # Errors
/// The API refuses it, or the rules no longer look as this function expects.
pub async fn quicken(cluster: &Cluster) -> anyhow::Result<()> {
    edit(cluster, changed).await
}

/// Makes 20 seconds of reports enough for `ready` with the window of an hour; its callers still count for an hour.
///
/// # Errors
/// As above.
pub async fn prove_sooner(cluster: &Cluster) -> anyhow::Result<()> {
    let sooner = |rules: &mut Value| {
        let text = rules["spec"].to_string();
        ensure!(text.matches(PROOF[0]).count() == 1, "not one {}", PROOF[0]);
        rules["spec"] = serde_json::from_str(&text.replace(PROOF[0], PROOF[1]))?;
        Ok(true)
    };
    edit(cluster, sooner).await
}

/// Applies the rules if `change` changed them.
async fn edit(
    cluster: &Cluster,
    change: impl Fn(&mut Value) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let kind = ["prometheusrules", "plainsight", "-n", "monitoring"];
    let mut rules = cluster.get(&kind).await?;
    if change(&mut rules)? {
        let patch = json!({"spec": rules["spec"]}).to_string();
        let arguments = [&["patch"], &kind[..], &["--type=merge", "-p", &patch]].concat();
        cluster.kubectl(&arguments, "").await?;
    }
    Ok(())
}

fn changed(rules: &mut Value) -> anyhow::Result<bool> {
    let mut found = [0; DELAYS.len()];
    let groups = rules["spec"]["groups"].as_array_mut();
    let mut slow = 0;
    for group in groups.context("spec.groups: expected a list")? {
        if !matches!(group["interval"].as_str(), Some("2m" | "4m")) {
            continue;
        }
        slow += 1;
        group["interval"] = json!("5s");
        let rules = group["rules"].as_array_mut();
        for rule in rules.context("rules: expected a list")? {
            let mut text = rule["expr"]
                .as_str()
                .context("expr: expected text")?
                .to_owned();
            for ((from, to), found) in DELAYS.iter().zip(&mut found) {
                *found += text.matches(from).count();
                text = text.replace(from, to);
            }
            rule["expr"] = json!(text);
        }
    }
    ensure!(
        slow == 0 || found.iter().all(|count| *count > 0),
        "the rules: not all of {DELAYS:?} found: {found:?}"
    );
    Ok(slow > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{documents, folder};

    #[test]
    fn the_projects_rules_can_be_made_faster_once() {
        let file = folder().join("files/plainsight.rules.yml");
        let spec = documents(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut rules = json!({"spec": spec[0]});
        assert!(changed(&mut rules).unwrap());
        assert!(!changed(&mut rules).unwrap());
    }
}
