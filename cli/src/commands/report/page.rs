//! What the HTML page of a report shows: callers grouped by the calling namespace, the people who must act.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{NamespaceRow, Report};
use crate::decide::explain::cause;
use crate::decide::readiness::Decision;
use crate::model::cluster::Cluster;
use crate::model::evidence::{Caller, Traffic};
use crate::model::span::{ago, rough};

/// The template's values.
#[derive(Serialize)]
pub struct Page<'a> {
    date: String,
    line: String,
    window: &'a str,
    notes: &'a [String],
    remarks: &'a [String],
    tiles: Vec<Tile>,
    namespaces: Vec<Namespace<'a>>,
}

#[derive(Serialize)]
struct Tile {
    tone: &'static str,
    count: usize,
    label: &'static str,
}

#[derive(Serialize)]
struct Namespace<'a> {
    name: &'a str,
    mode: &'a str,
    decision: &'static str,
    tone: &'static str,
    callers: usize,
    ports: String,
    coverage: String,
    proven: String,
    last: String,
    workloads: usize,
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    title: String,
    callers: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: String,
    kind: &'a str,
    workload: &'a str,
    port: u16,
    speaks: String,
    verdict: &'static str,
    tone: &'static str,
    since: String,
    last: String,
    cause: &'static str,
    action: &'static str,
}

fn tone(decision: Decision) -> &'static str {
    match decision {
        Decision::Done | Decision::Switch => "good",
        Decision::Except => "fair",
        Decision::NotYet => "bad",
    }
}

/// The page of a report.
pub fn page<'a>(report: &'a Report<'a>) -> Page<'a> {
    let now = report.basis.queried_at;
    let tiles = [
        (Decision::Done, "STRICT already"),
        (Decision::Switch, "ready to switch"),
        (Decision::Except, "ready with exceptions"),
        (Decision::NotYet, "not yet"),
    ];
    Page {
        date: now.strftime("%Y-%m-%d").to_string(),
        line: report.basis.line().trim_start_matches("# ").to_owned(),
        window: &report.basis.window,
        notes: &report.basis.notes,
        remarks: &report.remarks,
        tiles: tiles
            .into_iter()
            .map(|(decision, label)| {
                let count = report
                    .namespaces
                    .iter()
                    .filter(|row| row.standing.decision == decision)
                    .count();
                Tile {
                    tone: tone(decision),
                    count,
                    label,
                }
            })
            .collect(),
        namespaces: report
            .namespaces
            .iter()
            .map(|row| namespace(row, now, report.cluster))
            .collect(),
    }
}

fn namespace<'a>(
    row: &'a NamespaceRow<'a>,
    now: Timestamp,
    cluster: Option<&Cluster>,
) -> Namespace<'a> {
    let standing = &row.standing;
    let ports: Vec<String> = standing.ports.iter().map(u16::to_string).collect();
    Namespace {
        name: &row.namespace,
        mode: standing.mode.as_deref().unwrap_or("unknown"),
        decision: standing.decision.label(),
        tone: tone(standing.decision),
        callers: standing.callers,
        ports: if ports.is_empty() {
            "-".into()
        } else {
            ports.join(", ")
        },
        coverage: match (standing.pods_reporting, standing.pods) {
            (Some(reporting), Some(pods)) => format!("{reporting}/{pods}"),
            _ => "unknown".into(),
        },
        proven: standing
            .proven_since
            .map_or("-".into(), |since| rough(since, now)),
        last: ago(standing.last_plaintext, now),
        workloads: row.workloads.len(),
        groups: groups(row, now, cluster),
    }
}

/// Groups of callers, those with the most callers in the way first.
fn groups<'a>(
    row: &'a NamespaceRow<'a>,
    now: Timestamp,
    cluster: Option<&Cluster>,
) -> Vec<Group<'a>> {
    let mut grouped: BTreeMap<&str, Vec<Line<'a>>> = BTreeMap::new();
    for workload in &row.workloads {
        let all = workload
            .blocking
            .iter()
            .map(|caller| (*caller, true))
            .chain(workload.exempt.iter().map(|caller| (*caller, false)));
        for (caller, blocking) in all {
            grouped
                .entry(caller.namespace.as_deref().unwrap_or_default())
                .or_default()
                .push(line(caller, blocking, now, cluster));
        }
    }
    let mut groups: Vec<Group<'a>> = grouped
        .into_iter()
        .map(|(namespace, mut callers)| {
            callers.sort_by(|one, other| {
                (one.tone, &one.name, one.workload, one.port).cmp(&(
                    other.tone,
                    &other.name,
                    other.workload,
                    other.port,
                ))
            });
            let title = if namespace.is_empty() {
                "No workload of the cluster".into()
            } else {
                format!("Callers in namespace {namespace}")
            };
            Group { title, callers }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.callers.len()));
    groups
}

fn line<'a>(
    caller: &'a Caller,
    blocking: bool,
    now: Timestamp,
    cluster: Option<&Cluster>,
) -> Line<'a> {
    let found = cause(caller, cluster).cause;
    Line {
        name: caller.display(),
        kind: &caller.kind,
        workload: &caller.destination_workload,
        port: caller.destination_port,
        speaks: match caller.traffic {
            Traffic::App => caller.peer.speaks().to_owned(),
            Traffic::Probe => format!("{} (probe)", caller.peer.speaks()),
            Traffic::Scrape => format!("{} (scrape)", caller.peer.speaks()),
        },
        verdict: if blocking { "refused" } else { "stays open" },
        tone: if blocking { "bad" } else { "fair" },
        since: caller
            .first_seen
            .map_or("-".into(), |first| rough(first, now)),
        last: ago(Some(caller.last_seen), now),
        cause: found.label(),
        action: found.action(),
    }
}
