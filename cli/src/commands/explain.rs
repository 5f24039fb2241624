//! `plainsight explain`: each caller, why it does not use mutual TLS, and what to do.

use std::collections::BTreeSet;
use std::io::Write;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Needs};
use crate::args::{Common, Files};
use crate::decide::explain::{Cause, Finding, cause};
use crate::decide::names;
use crate::decide::readiness::{Decision, workload};
use crate::model::evidence::{Caller, Strict};
use crate::model::span::{ago, rough};
use crate::output::document::{API_VERSION, Basis};
use crate::output::render::Answer;
use crate::output::table::{Field, Grid, Records, Tone};
use crate::{Error, Exit};

/// The callers of a namespace, a workload or a port.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    api_version: &'static str,
    kind: &'static str,
    basis: Basis,
    /// What was asked for.
    target: String,
    callers: Vec<Row>,
    #[serde(skip)]
    remarks: Vec<String>,
}

/// One caller of one port.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    caller: Caller,
    /// Of that many hours in the window.
    window_hours: i64,
    /// It is in the way: its port is not STRICT and not exempt.
    blocking: bool,
    #[serde(flatten)]
    finding: Finding,
    /// What to do.
    action: &'static str,
    /// More about it.
    link: String,
}

impl Row {
    fn often(&self) -> String {
        match self.caller.active_hours {
            Some(hours) => format!("{hours} of {} hours", self.window_hours),
            None => "-".into(),
        }
    }
}

/// `NS[/WORKLOAD[:PORT]]`
struct Target {
    namespace: String,
    workload: Option<String>,
    port: Option<u16>,
}

impl Target {
    fn parse(text: &str) -> Result<Target, Error> {
        let problem = || Error::Usage(format!("expected NS[/WORKLOAD[:PORT]], got: {text}"));
        let (namespace, rest) = text
            .split_once('/')
            .map_or((text, None), |(namespace, rest)| (namespace, Some(rest)));
        let (workload, port) = match rest.map(|rest| {
            rest.split_once(':')
                .map_or((rest, None), |(name, port)| (name, Some(port)))
        }) {
            None => (None, None),
            Some((name, port)) => (Some(name.to_owned()), port),
        };
        let port = port
            .map(|port| port.parse().map_err(|_| problem()))
            .transpose()?;
        if namespace.is_empty() || namespace.contains(':') || workload.as_deref() == Some("") {
            return Err(problem());
        }
        Ok(Target {
            namespace: namespace.into(),
            workload,
            port,
        })
    }
}

/// Runs the command.
pub fn run(
    common: &Common,
    target: &str,
    files: &Files,
    runbook: &str,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let wanted = Target::parse(target)?;
    let namespaces = [wanted.namespace.clone()];
    let context = Context::load(
        common,
        files,
        &Needs {
            namespaces: &namespaces,
            activity: true,
            since: None,
        },
    )?;
    let mut workloads = context.workloads();
    if let Some(name) = &wanted.workload {
        let known: Vec<&str> = workloads.iter().map(|workload| workload.name).collect();
        if !known.contains(&name.as_str()) && !known.is_empty() {
            return Err(Error::Unknown(names::unknown("workload", name, known)));
        }
        workloads.retain(|workload| workload.name == name.as_str());
    }
    let mut remarks = context.question.problems.clone();
    let mut exit = if workloads.is_empty() || !remarks.is_empty() {
        Exit::NotProven
    } else {
        Exit::Ready
    };
    let mut rows = Vec::new();
    for facts in workloads {
        let mut answer = workload(facts, context.policies.as_ref(), &context.question);
        if let Some(port) = wanted.port {
            answer
                .blocking
                .retain(|caller| caller.destination_port == port);
            answer
                .exempt
                .retain(|caller| caller.destination_port == port);
            // The workload's other ports decide nothing here; what is proven for it is proven for the port.
            if answer.blocking.is_empty() && answer.unproven.is_empty() {
                answer.decision = Decision::Switch;
            }
        }
        exit = exit.and(answer.exit());
        let name = answer.workload.name;
        let unproven = answer
            .unproven
            .iter()
            .filter(|reason| !context.question.problems.contains(reason));
        if answer.decision != Decision::Done {
            remarks.extend(unproven.map(|reason| format!("{}/{name}: {reason}", wanted.namespace)));
        }
        rows.extend(
            answer
                .blocking
                .iter()
                .map(|caller| row(caller, true, &context, runbook)),
        );
        rows.extend(
            answer
                .exempt
                .iter()
                .map(|caller| row(caller, false, &context, runbook)),
        );
    }
    rows.sort_by(|one, other| {
        let key = |row: &Row| {
            (
                !row.blocking,
                row.caller.destination_workload.clone(),
                row.caller.destination_port,
                row.caller.name.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    if rows.is_empty() {
        remarks.push(format!(
            "{target}: no caller without mutual TLS within {}",
            context.question.window
        ));
    }
    let mut said = BTreeSet::new();
    for row in &rows {
        let Finding {
            cause,
            facts,
            unknown,
        } = &row.finding;
        if said.insert((row.caller.name.clone(), *cause)) {
            let mut sentence = format!(
                "{}: {}",
                row.caller.display(),
                if facts.is_empty() {
                    "no facts about it".into()
                } else {
                    facts.join("; ")
                }
            );
            if !unknown.is_empty() {
                sentence.push_str(&format!("; unknown: {}", unknown.join("; ")));
            }
            remarks.push(format!("{sentence}. {}: {}", capital(row.action), row.link));
        }
    }
    let basis = context.basis();
    let explanation = Explanation {
        api_version: API_VERSION,
        kind: "Explanation",
        basis,
        target: target.into(),
        callers: rows,
        remarks,
    };
    super::show(&explanation, common, out)?;
    Ok(exit)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

fn row(caller: &Caller, blocking: bool, context: &Context, runbook: &str) -> Row {
    let finding = cause(caller, context.cluster.as_ref());
    let found: Cause = finding.cause;
    Row {
        caller: caller.clone(),
        window_hours: context.question.window.seconds() / 3_600,
        blocking,
        action: found.action(),
        link: format!("{}#{}", runbook.trim_end_matches('#'), found.anchor()),
        finding,
    }
}

fn moment(moment: Option<Timestamp>) -> String {
    moment.map(|moment| moment.to_string()).unwrap_or_default()
}

impl Answer for Explanation {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn grid(&self, wide: bool) -> Grid {
        let mut columns = vec![
            "WORKLOAD",
            ">PORT",
            "CALLER",
            "KIND",
            "SPEAKS",
            "UNDER STRICT",
            ">SINCE",
            "LAST SEEN",
            ">SEEN IN",
            "CAUSE",
        ];
        if wide {
            columns.extend(["TRAFFIC", "WHAT TO DO"]);
        }
        let mut grid = Grid::new(&columns);
        let now = self.basis.queried_at;
        for row in &self.callers {
            let caller = &row.caller;
            let verdict = match (row.blocking, caller.strict) {
                (true, _) => Field::toned("refused", Tone::Bad),
                (false, _) => Field::toned("stays open", Tone::Fair),
            };
            let mut fields: Vec<Field> = vec![
                caller.destination_workload.as_str().into(),
                caller.destination_port.into(),
                caller.display().into(),
                caller.kind.as_str().into(),
                caller.peer.speaks().into(),
                verdict,
                caller
                    .first_seen
                    .map_or("-".into(), |first| rough(first, now))
                    .into(),
                ago(Some(caller.last_seen), now).into(),
                row.often().into(),
                row.finding.cause.label().into(),
            ];
            if wide {
                fields.push(format!("{:?}", caller.traffic).to_lowercase().into());
                fields.push(row.action.into());
            }
            grid.row(fields);
        }
        grid
    }

    fn records(&self) -> Records {
        let header = vec![
            "namespace",
            "workload",
            "port",
            "caller",
            "caller_kind",
            "caller_namespace",
            "source_ip",
            "peer",
            "strict",
            "traffic",
            "first_seen",
            "last_seen",
            "active_hours",
            "window_hours",
            "blocking",
            "cause",
            "action",
            "link",
        ];
        let rows = self.callers.iter().map(|row| {
            let caller = &row.caller;
            vec![
                caller.destination_namespace.clone(),
                caller.destination_workload.clone(),
                caller.destination_port.to_string(),
                caller.name.clone(),
                caller.kind.clone(),
                caller.namespace.clone().unwrap_or_default(),
                caller.source_ip.clone().unwrap_or_default(),
                word(&caller.peer),
                if caller.strict == Strict::Exempt {
                    "exempt".into()
                } else {
                    "reject".into()
                },
                word(&caller.traffic),
                moment(caller.first_seen),
                moment(Some(caller.last_seen)),
                caller
                    .active_hours
                    .map(|hours| hours.to_string())
                    .unwrap_or_default(),
                row.window_hours.to_string(),
                row.blocking.to_string(),
                word(&row.finding.cause),
                row.action.to_owned(),
                row.link.clone(),
            ]
        });
        Records {
            header,
            rows: rows.collect(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

/// An enum's name in the data format.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
