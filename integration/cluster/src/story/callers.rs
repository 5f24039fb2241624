//! Who would break, and what is done about it.

use anyhow::ensure;
use serde_json::json;

use super::evidence::Row;
use super::{PATIENCE, Story, WINDOW, until};
use crate::pace;

/// The command names every caller, and why it is one.
///
/// # Errors
/// A step did not do what it should.
pub async fn who_calls(story: &mut Story<'_>) -> anyhow::Result<Vec<Row>> {
    story.transcript.heading("Who would break?");
    story.cast.nightly().await?;
    // Every caller without mutual TLS has a row, and no other has.
    let rows = until("the evidence names every caller", PATIENCE, async || {
        let rows = story.evidence("1h").await?;
        for line in story.lines() {
            let known = rows.iter().any(|row| row.is(line));
            ensure!(
                known != line.name.starts_with("shop/"),
                "{}: in the evidence: {known}: {rows:?}",
                line.name
            );
        }
        Ok(rows)
    })
    .await?;
    for row in &rows {
        ensure!(
            story.lines().any(|line| row.is(line)),
            "not one of the callers: {row:?}"
        );
        ensure!(row.strict == "reject", "{row:?}");
    }
    for (name, cause) in [
        ("legacy/nightly", "no-sidecar"),
        ("legacy/exporter", "own-tls"),
        ("node-1", "node-address"),
        ("finance/reports", "no-sidecar"),
        ("10.77.1.10", "outside-mesh"),
    ] {
        ensure!(
            rows.iter()
                .any(|row| row.name == name && row.cause == cause),
            "{name}: not {cause}: {rows:?}"
        );
    }
    until("every pod reports", PATIENCE, async || {
        story
            .quietly("plainsight doctor")
            .await?
            .expect(0)?
            .says(&["3 of 3 pods report, in 3 workloads"])
    })
    .await?;
    story.command("plainsight doctor").await?.expect(0)?;
    let report = format!("plainsight report --window {WINDOW}");
    story
        .command(&report)
        .await?
        .expect(2)?
        .says(&["not yet"])?;
    story
        .command(&format!("plainsight explain shop --window {WINDOW}"))
        .await?
        .says(&["legacy/nightly", "node-1", "legacy/exporter"])?;
    story
        .command(&format!("plainsight explain billing --window {WINDOW}"))
        .await?
        .says(&["legacy/debug", "10.77.1.10"])?;
    Ok(rows)
}

/// One caller is injected, one port exempted, the others stop; then the window passes.
///
/// # Errors
/// A step did not do what it should.
pub async fn repair(story: &mut Story<'_>) -> anyhow::Result<()> {
    story.transcript.heading("Repair");
    story.transcript.say("`finance/reports` gets a sidecar:");
    story.cast.stop("finance/reports").await;
    story
        .command("kubectl label namespace finance istio-injection=enabled")
        .await?
        .expect(0)?;
    story
        .command("kubectl -n finance rollout restart deployment/reports")
        .await?
        .expect(0)?;
    story.cast.inject_reports().await?;

    story.transcript.say(
        "`legacy/warehouse` and `legacy/exporter` cannot get one soon: port 9000 of `shop/orders` stays open for them. The filter gets the exemption first:",
    );
    let values = json!({"exemptions": [{"port": 9000, "namespace": "shop", "workload": "orders"}]});
    let text = serde_yaml_ng::to_string(&values)?;
    std::fs::write(story.folder.path().join("exemptions.yaml"), &text)?;
    story.transcript.file("exemptions.yaml", &text);
    let registry = story.registry()?;
    let upgrade = format!(
        "helm upgrade plainsight oci://{registry}/charts/plainsight --plain-http -n monitoring --values values.yaml --values exemptions.yaml --hide-notes"
    );
    story.command(&upgrade).await?.expect(0)?;
    pace::quicken(story.cluster).await?;

    story.transcript.say("The others are no longer wanted. The CronJob is suspended, the agent, the debug pod and the client outside stop calling.");
    story
        .command("kubectl -n legacy patch cronjob nightly --patch '{\"spec\":{\"suspend\":true}}'")
        .await?
        .expect(0)?;
    for name in ["legacy/nightly", "node-1", "legacy/debug", "10.77.1.10"] {
        story.cast.stop(name).await;
    }
    story.transcript.say(&format!(
        "From here on the story waits for the window: {WINDOW} in this story. **A real migration waits two weeks here, or five if a job runs monthly.**"
    ));
    until("every namespace is ready", PATIENCE, async || {
        let report = format!("plainsight report -n shop -n billing --window {WINDOW}");
        story.quietly(&report).await?.expect(0)
    })
    .await?;
    story
        .command(&format!("plainsight report --window {WINDOW}"))
        .await?
        .says(&["switch", "except"])?;
    story.transcript
        .say("`finance/reports` has no callers, but its new pod is not proven yet: the story leaves it alone.");
    Ok(())
}
