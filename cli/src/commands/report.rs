//! `plainsight report`: one line per namespace, or per workload with `-n`.

mod page;

use std::io::Write;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Needs};
use crate::args::{Common, Files, Scope};
use crate::decide::readiness::{Decision, NamespaceAnswer, WorkloadAnswer, namespaces};
use crate::model::cluster::Cluster;
use crate::model::evidence::{Caller, Evidence};
use crate::model::span::{ago, rough};
use crate::output::document::{API_VERSION, Basis};
use crate::output::html;
use crate::output::render::Answer;
use crate::output::table::{Field, Grid, Records, Tone};
use crate::{Error, Exit};

/// Where every namespace stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    /// The format's version.
    api_version: &'static str,
    /// `Report`.
    kind: &'static str,
    /// What it rests on.
    basis: Basis,
    /// The namespaces.
    namespaces: Vec<NamespaceRow<'a>>,
    #[serde(skip)]
    by_workload: bool,
    #[serde(skip)]
    remarks: Vec<String>,
    #[serde(skip)]
    cluster: Option<&'a Cluster>,
}

/// One namespace.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NamespaceRow<'a> {
    namespace: String,
    #[serde(flatten)]
    standing: Standing,
    workloads: Vec<WorkloadRow<'a>>,
}

/// One workload.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WorkloadRow<'a> {
    workload: String,
    #[serde(flatten)]
    standing: Standing,
    /// Why nothing is proven.
    unproven: Vec<String>,
    /// Callers that STRICT would refuse.
    blocking: Vec<&'a Caller>,
    /// Callers on ports that stay open.
    exempt: Vec<&'a Caller>,
}

/// What a line shows.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Standing {
    /// The effective mode; `mixed` where workloads differ; absent where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    decision: Decision,
    /// Distinct callers in the way.
    callers: usize,
    /// Distinct callers on ports that stay open.
    exempt_callers: usize,
    /// Ports that need an exception, or have one.
    ports: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods_reporting: Option<u32>,
    /// Since when every pod has reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_since: Option<Timestamp>,
    /// Last caller without mutual TLS, in all remembered time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_plaintext: Option<Timestamp>,
}

impl Standing {
    fn fields(&self, now: Timestamp, wide: bool) -> Vec<Field> {
        let tone = match self.decision {
            Decision::Done | Decision::Switch => Tone::Good,
            Decision::Except => Tone::Fair,
            Decision::NotYet => Tone::Bad,
        };
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let coverage = match (self.pods_reporting, self.pods) {
            (Some(reporting), Some(pods)) => format!("{reporting}/{pods}"),
            _ => "unknown".into(),
        };
        let mut fields: Vec<Field> = vec![
            self.mode.as_deref().unwrap_or("unknown").into(),
            Field::toned(self.decision.label(), tone),
            self.callers.into(),
            if ports.is_empty() {
                "-".into()
            } else {
                ports.join(",").into()
            },
            coverage.into(),
            self.proven_since
                .map_or("-".into(), |since| rough(since, now))
                .into(),
            ago(self.last_plaintext, now).into(),
        ];
        if wide {
            fields.push(self.exempt_callers.into());
            fields.push(moment(self.proven_since).into());
            fields.push(moment(self.last_plaintext).into());
        }
        fields
    }

    fn record(&self) -> Vec<String> {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let number = |count: Option<u32>| count.map(|count| count.to_string()).unwrap_or_default();
        vec![
            self.mode.clone().unwrap_or_default(),
            self.decision.label().into(),
            self.callers.to_string(),
            self.exempt_callers.to_string(),
            ports.join(" "),
            number(self.pods_reporting),
            number(self.pods),
            moment(self.proven_since),
            moment(self.last_plaintext),
        ]
    }
}

/// A moment for programs.
fn moment(moment: Option<Timestamp>) -> String {
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}

const COLUMNS: [&str; 10] = [
    "MODE",
    "DECISION",
    ">CALLERS",
    ">PORTS",
    ">COVERAGE",
    ">PROVEN",
    "LAST PLAINTEXT",
    ">EXEMPT",
    "PROVEN SINCE",
    "LAST SEEN",
];

/// Runs the command.
pub fn run(
    common: &Common,
    scope: &Scope,
    files: &Files,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let needs = Needs {
        namespaces: &scope.namespace,
        ..Needs::default()
    };
    let context = Context::load(common, files, &needs)?;
    let answers = namespaces(
        context.workloads(),
        context.policies.as_ref(),
        &context.question,
    );
    let known = |name: &String| answers.iter().any(|answer| answer.namespace == *name);
    let mut remarks = context.question.problems.clone();
    remarks.extend(
        scope
            .namespace
            .iter()
            .filter(|name| !known(name))
            .map(|name| format!("{name}: no workload with a sidecar is known")),
    );
    remarks.extend(
        answers
            .iter()
            .flat_map(|answer| remarks_of(answer, &context.evidence, &context)),
    );
    let mut exit = answers
        .iter()
        .map(NamespaceAnswer::exit)
        .fold(Exit::Ready, Exit::and);
    if answers.is_empty()
        || !scope.namespace.iter().all(known)
        || !context.question.problems.is_empty()
    {
        exit = exit.and(Exit::NotProven);
    }
    let report = Report {
        api_version: API_VERSION,
        kind: "Report",
        basis: context.basis(),
        namespaces: answers.iter().map(namespace_row).collect(),
        by_workload: !scope.namespace.is_empty(),
        remarks,
        cluster: context.cluster.as_ref(),
    };
    super::show(&report, common, out)?;
    Ok(exit)
}

fn namespace_row<'a>(answer: &NamespaceAnswer<'a>) -> NamespaceRow<'a> {
    let coverage = answer.coverage();
    NamespaceRow {
        namespace: answer.namespace.clone(),
        standing: Standing {
            mode: answer.mode(),
            decision: answer.decision,
            callers: answer.blocking_callers(),
            exempt_callers: answer.exempt_callers(),
            ports: answer.ports().into_iter().collect(),
            pods: coverage.map(|(_, pods)| pods),
            pods_reporting: coverage.map(|(reporting, _)| reporting),
            proven_since: answer.proven_since(),
            last_plaintext: answer.last_plaintext(),
        },
        workloads: answer.workloads.iter().map(workload_row).collect(),
    }
}

fn workload_row<'a>(answer: &WorkloadAnswer<'a>) -> WorkloadRow<'a> {
    let distinct = |callers: &[&Caller]| {
        callers
            .iter()
            .map(|caller| caller.identity())
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    };
    let coverage = &answer.workload.coverage;
    WorkloadRow {
        workload: answer.workload.name.to_owned(),
        standing: Standing {
            mode: answer.mode.as_ref().map(ToString::to_string),
            decision: answer.decision,
            callers: distinct(&answer.blocking),
            exempt_callers: distinct(&answer.exempt),
            ports: answer.ports_to_exempt().into_iter().collect(),
            pods: coverage.pods,
            pods_reporting: coverage.pods_reporting,
            proven_since: coverage.reporting_since,
            last_plaintext: answer.last_plaintext(),
        },
        unproven: answer.unproven.clone(),
        blocking: answer.blocking.clone(),
        exempt: answer.exempt.clone(),
    }
}

/// One sentence per obstacle that a person can remove.
fn remarks_of(answer: &NamespaceAnswer<'_>, evidence: &Evidence, context: &Context) -> Vec<String> {
    let mut remarks = Vec::new();
    for workload in &answer.workloads {
        let name = format!("{}/{}", answer.namespace, workload.workload.name);
        let now = context.question.now;
        if workload.decision == Decision::Done {
            let mode = workload.mode.as_ref();
            let strict = |caller: &&&Caller| {
                mode.is_some_and(|mode| {
                    mode.port(caller.destination_port) == crate::model::mode::Mode::Strict
                })
            };
            let recent = workload
                .workload
                .callers
                .iter()
                .filter(strict)
                .filter(|caller| now.duration_since(caller.last_seen).as_mins() < 10);
            if let Some(caller) = recent.max_by_key(|caller| caller.last_seen) {
                remarks.push(format!(
                    "{name}: {} was still served without mutual TLS {} on port {}, which is STRICT: the policy is younger than that, or has not reached the pods",
                    caller.name,
                    ago(Some(caller.last_seen), now),
                    caller.destination_port
                ));
            }
            continue;
        }
        let coverage = &workload.workload.coverage;
        for reason in workload
            .unproven
            .iter()
            .filter(|reason| !context.question.problems.contains(reason))
        {
            if coverage.reporting_since.is_none() && coverage.pods_reporting < coverage.pods {
                let silent = silent_pods(evidence, &answer.namespace, workload.workload.name);
                let list = if silent.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", silent.join(", "))
                };
                remarks.push(format!(
                    "{name}: {reason}{list}: check the plugin's selector, the image pull and the scrape"
                ));
            } else {
                remarks.push(format!("{name}: {reason}"));
            }
        }
    }
    remarks
}

/// The pods of a workload that do not report, the first three.
fn silent_pods(evidence: &Evidence, namespace: &str, workload: &str) -> Vec<String> {
    let own = evidence.silent_pods.iter();
    let own: Vec<&str> = own
        .filter(|silent| silent.namespace == namespace && silent.workload == workload)
        .map(|silent| silent.pod.as_str())
        .collect();
    let mut names: Vec<String> = own.iter().take(3).map(|name| (*name).to_owned()).collect();
    if own.len() > 3 {
        names.push(format!("{} more", own.len() - 3));
    }
    names
}

impl Answer for Report<'_> {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn grid(&self, wide: bool) -> Grid {
        let count = if wide { 10 } else { 7 };
        let mut columns = vec!["NAMESPACE"];
        if self.by_workload {
            columns.push("WORKLOAD");
        }
        columns.extend(&COLUMNS[..count]);
        let mut grid = Grid::new(&columns);
        let now = self.basis.queried_at;
        for row in &self.namespaces {
            if self.by_workload {
                for workload in &row.workloads {
                    let mut fields: Vec<Field> = vec![
                        row.namespace.as_str().into(),
                        workload.workload.as_str().into(),
                    ];
                    fields.extend(workload.standing.fields(now, wide));
                    grid.row(fields);
                }
            } else {
                let mut fields: Vec<Field> = vec![row.namespace.as_str().into()];
                fields.extend(row.standing.fields(now, wide));
                grid.row(fields);
            }
        }
        grid
    }

    fn records(&self) -> Records {
        let header = vec![
            "namespace",
            "workload",
            "mode",
            "decision",
            "callers",
            "exempt_callers",
            "ports",
            "pods_reporting",
            "pods",
            "proven_since",
            "last_plaintext",
            "queried_at",
            "window",
            "counted",
        ];
        let mut rows = Vec::new();
        let counted = if self.basis.counted == crate::decide::readiness::Counted::All {
            "all"
        } else {
            "app"
        };
        for row in &self.namespaces {
            let mut record = |workload: &str, standing: &Standing| {
                let mut fields = vec![row.namespace.clone(), workload.to_owned()];
                fields.extend(standing.record());
                fields.extend([
                    self.basis.queried_at.to_string(),
                    self.basis.window.clone(),
                    counted.to_owned(),
                ]);
                rows.push(fields);
            };
            if self.by_workload {
                row.workloads
                    .iter()
                    .for_each(|workload| record(&workload.workload, &workload.standing));
            } else {
                record("", &row.standing);
            }
        }
        Records { header, rows }
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }

    fn html(&self) -> Option<Result<String, Error>> {
        Some(html::page(&page::page(self)))
    }
}
