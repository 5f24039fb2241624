//! The plan, STRICT, and back.

use anyhow::{Context, ensure};
use plainsight_harness::eventually::eventually;
use serde_json::json;
use tokio::time::Instant;

use super::evidence::{Row, predict};
use super::traffic::{Line, none_lost};
use super::{PATIENCE, Story, WINDOW, until};

/// Calls in a row that must all have the predicted outcome.
const IN_A_ROW: u32 = 10;

/// Policies, and whether they may be applied.
///
/// # Errors
/// A step did not do what it should.
pub async fn plan(story: &mut Story<'_>) -> anyhow::Result<()> {
    story.transcript.heading("Plan and gate");
    for namespace in ["shop", "billing"] {
        let plan = format!("plainsight plan -n {namespace} --window {WINDOW} --dir {namespace}");
        story.command(&plan).await?.expect(0)?;
    }
    for part in ["shop/policies", "billing/policies"] {
        let mut files = std::fs::read_dir(story.folder.path().join(part))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&file)?;
            story.transcript.file(&format!("{part}/{name}"), &text);
        }
    }
    story
        .command(&format!(
            "plainsight gate -f shop/policies -f billing/policies --window {WINDOW}"
        ))
        .await?
        .expect(0)?
        .says(&["STRICT, 9000 PERMISSIVE", "passed"])?;
    Ok(())
}

/// Every prediction comes true.
///
/// # Errors
/// A step did not do what it should.
pub async fn switch(story: &mut Story<'_>, before: &[Row]) -> anyhow::Result<()> {
    story.transcript.heading("STRICT");
    let now = story.evidence(WINDOW).await?;
    for row in &now {
        ensure!(
            story.lines().any(|line| row.is(line)),
            "unpredicted: {row:?}"
        );
    }
    let predictions = predict(&story.cast.traffic, before, &now)?;
    let of = |verdict| predictions.iter().filter(|(_, one)| one == verdict).count();
    ensure!(
        (of("allow"), of("exempt"), of("reject")) == (5, 2, 4),
        "predictions: {:?}",
        predictions
            .iter()
            .map(|(line, verdict)| (&line.name, verdict))
            .collect::<Vec<_>>()
    );
    none_lost(&story.cast.traffic)?;
    let drained = story.closed("billing/ledger");
    story
        .command("kubectl apply -f shop/policies -f billing/policies")
        .await?
        .expect(0)?;
    let switched = Instant::now();
    // A call before it is in force would be evidence of a caller that then stopped calling.
    for workload in ["shop/orders", "shop/stock", "billing/ledger"] {
        eventually("the sidecar has the policy", || is_strict(story, workload)).await?;
    }
    story
        .transcript
        .say("All callers call, those that had stopped included:");
    let mut rows = "| caller | calls | predicted | under STRICT |\n|---|---|---|---|".to_owned();
    for (line, verdict) in &predictions {
        let served = verdict != "reject";
        eventually("the policy is in force", || in_a_row(line, served)).await?;
        let outcome = if served { "served" } else { "refused" };
        let (name, workload, port) = (&line.name, line.workload, line.port);
        rows += &format!("\n| `{name}` | `{workload}:{port}` | {verdict} | {outcome} |");
    }
    story.transcript.say(&rows);
    until("STRICT drains what was open", PATIENCE, async || {
        let closed = story.closed("billing/ledger");
        ensure!(closed > drained, "closed {closed} times");
        Ok(())
    })
    .await?;
    story.transcript.say(
        "As with every change of filter chains, TCP connections that were open end after 45 seconds (`drainDuration`). That has happened by now; no call was lost.",
    );
    none_lost(&story.cast.traffic)?;
    let since = switched.elapsed().as_secs();
    let verify = format!("plainsight verify -n shop -n billing --since {since}s --window {WINDOW}");
    story.command(&verify).await?.expect(3)?;
    let answer = story.json(&verify).await?;
    for key in ["callers", "stopped", "turnedAway", "notStrict"] {
        ensure!(answer[key] == json!([]), "verify: {key}: {}", answer[key]);
    }
    let unproven = answer["unproven"].as_array().context("no unproven")?;
    ensure!(
        unproven.len() == 1
            && unproven[0]
                .as_str()
                .is_some_and(|one| one.starts_with("too soon")),
        "verify: {unproven:?}"
    );
    story.transcript.say("Only port 9000, which the policy keeps open, still serves callers without mutual TLS. No other caller stopped, and no port lost its traffic. Exit code 0 needs eight minutes of traffic after the switch.");
    Ok(())
}

/// As planned.
///
/// # Errors
/// A step did not do what it should.
pub async fn back(story: &mut Story<'_>) -> anyhow::Result<()> {
    story.transcript.heading("Back, as planned");
    story
        .command("kubectl apply -f shop/rollback -f billing/rollback")
        .await?
        .expect(0)?;
    let lines: Vec<Line> = story
        .cast
        .traffic
        .iter()
        .filter(|traffic| !traffic.is_calling() && traffic.line.name != "finance/reports")
        .map(|traffic| traffic.line.clone())
        .collect();
    for line in &lines {
        eventually("the rollback is in force", async || {
            in_a_row(line, true).await
        })
        .await?;
    }
    story
        .transcript
        .say("Those who were refused are served again.");
    Ok(())
}

/// No filter chain of the workload's port 8080 takes plaintext.
async fn is_strict(story: &Story<'_>, workload: &str) -> anyhow::Result<()> {
    let path = "/config_dump?resource=dynamic_listeners&name_regex=virtualInbound";
    let listeners = story.cast.called(workload)?.ask_envoy(path).await?;
    // A draining listener has the chains of before.
    let listener = &listeners["configs"][0]["active_state"]["listener"];
    let mut chains = 0;
    for chain in listener["filter_chains"].as_array().into_iter().flatten() {
        let matched = &chain["filter_chain_match"];
        if matched["destination_port"] == 8080 {
            chains += 1;
            ensure!(
                matched["transport_protocol"] != "raw_buffer",
                "{workload}: {matched}"
            );
        }
    }
    ensure!(chains > 0, "{workload}: no chain of port 8080: {listeners}");
    Ok(())
}

async fn in_a_row(line: &Line, served: bool) -> anyhow::Result<()> {
    for _ in 0..IN_A_ROW {
        let outcome = line.call().await.map_err(|error| format!("{error:#}"));
        ensure!(
            outcome.is_ok() == served,
            "{} calls {}:{}: {outcome:?}",
            line.name,
            line.workload,
            line.port
        );
    }
    Ok(())
}
