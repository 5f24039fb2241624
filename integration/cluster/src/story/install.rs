//! The chart: from the canary to the mesh, and away again.

use anyhow::ensure;
use serde_json::json;

use super::traffic::{none_lost, table};
use super::{PATIENCE, Story, until};
use crate::chart::folder;
use crate::pace;

const CALLED: [&str; 3] = ["shop/orders", "shop/stock", "billing/ledger"];

/// Canary, namespaces, mesh.
///
/// # Errors
/// A step did not do what it should.
pub async fn install(story: &mut Story<'_>) -> anyhow::Result<()> {
    story.transcript.heading("Canary, namespace, mesh");
    let image = story.cluster.image()?;
    let registry = story.registry()?;
    let package = format!(
        "helm package {} --destination .",
        folder().canonicalize()?.display()
    );
    let package = story.quietly(&package).await?.expect(0)?;
    let package = package
        .output
        .trim()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let push = format!("helm push {package} oci://{registry}/charts --plain-http");
    story.command(&push).await?.expect(0)?;

    let mut values = json!({
        "image": image,
        "namespaces": ["shop"],
        "workload": {"matchLabels": {"app": "orders"}},
    });
    story.values(&values)?;
    let chart = format!(
        "plainsight oci://{registry}/charts/plainsight --plain-http -n monitoring --values values.yaml"
    );
    story
        .command(&format!("helm install {chart}"))
        .await?
        .expect(0)?;
    pace::quicken(story.cluster).await?;
    story.transcript.say(pace::NOTE);
    story.until_the_filter_runs(&["shop/orders"]).await?;
    ensure!(
        !story.has_filter("shop/stock").await?,
        "the canary reached shop/stock"
    );
    story.transcript.say("The canary's sidecar shows the filter; the other workload of the namespace has none. Now the namespaces, then the mesh:");

    values["workload"] = json!({});
    values["namespaces"] = json!(["shop", "billing"]);
    let upgrade = format!("helm upgrade {chart} --hide-notes");
    story.values(&values)?;
    story.command(&upgrade).await?.expect(0)?;
    story.until_the_filter_runs(&CALLED).await?;
    values["namespaces"] = json!([]);
    story.values(&values)?;
    story.command(&upgrade).await?.expect(0)?;
    pace::quicken(story.cluster).await?;
    story.until_the_filter_runs(&CALLED).await?;
    story
        .command("kubectl get wasmplugins,podmonitors,prometheusrules -A")
        .await?
        .expect(0)?
        .says(&["istio-system", "plainsight"])?;
    Ok(())
}

/// Removes it and shows what became of all calls.
///
/// # Errors
/// A step did not do what it should.
pub async fn remove(story: &mut Story<'_>) -> anyhow::Result<()> {
    story.transcript.heading("Remove");
    story
        .command("helm uninstall plainsight -n monitoring")
        .await?
        .expect(0)?;
    for workload in CALLED {
        until("the filter is gone", PATIENCE, async || {
            ensure!(!story.has_filter(workload).await?, "{workload}: has series");
            Ok(())
        })
        .await?;
    }
    none_lost(&story.cast.traffic)?;
    for traffic in &mut story.cast.traffic {
        traffic.stop().await;
    }
    none_lost(&story.cast.traffic)?;
    // docs/istio.md: install, from namespaces to the mesh, and removal drain once each; port 9000 never became STRICT.
    let closed = story.closed("shop/orders");
    ensure!((1..=3).contains(&closed), "{closed} drains");
    story
        .transcript
        .say("The sidecars show no series of the filter any more. All calls of the story:");
    story.transcript.say(&table(&story.cast.traffic));
    Ok(())
}
