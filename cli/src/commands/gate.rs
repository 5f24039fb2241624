//! `plainsight gate`: may these policies be applied now? For CI and GitOps.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Needs};
use crate::args::{Common, Files};
use crate::decide::gate::{Change, changes, doubts};
use crate::model::evidence::Caller;
use crate::model::mode::{PeerAuthentication, Policies};
use crate::model::span::ago;
use crate::output::document::{API_VERSION, Basis};
use crate::output::junit;
use crate::output::render::{Answer, Format};
use crate::output::table::{Field, Grid, Records, Tone};
use crate::source::files as manifests;
use crate::{Error, Exit};

/// The answer for a set of policies.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateResult<'a> {
    api_version: &'static str,
    kind: &'static str,
    basis: Basis,
    /// The policies asked about, `namespace/name`.
    policies: Vec<String>,
    /// Whether they may be applied.
    passed: bool,
    changes: Vec<ChangeRow<'a>>,
    /// Reasons that concern no single workload.
    reasons: Vec<String>,
    /// Policies that `-n` leaves out of the answer.
    skipped: Vec<String>,
    #[serde(skip)]
    files: Vec<PathBuf>,
}

/// A workload that would change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRow<'a> {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub workload: String,
    /// The mode today; absent where it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// `pass`, `callers` or `not-proven`.
    result: &'static str,
    /// Some port becomes weaker.
    weaker: bool,
    /// Callers that would be refused.
    callers: Vec<&'a Caller>,
    /// Why nothing is proven.
    unproven: Vec<String>,
    /// The obstacles, one sentence each.
    #[serde(skip)]
    pub obstacles: Vec<String>,
}

/// Runs the command.
pub fn run(
    common: &Common,
    namespaces: &[String],
    files: &[PathBuf],
    current: &[PathBuf],
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    // A single -n is also the namespace of policies that name none, as for kubectl.
    let default = match namespaces {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let applied = manifests::policies(files, default)?;
    if applied.is_empty() {
        return Err(Error::Usage(
            "gate: no PeerAuthentication in the files".into(),
        ));
    }
    let context = Context::load(
        common,
        &Files {
            file: current.to_vec(),
        },
        &Needs {
            namespaces,
            ..Needs::default()
        },
    )?;
    let none = Policies::new(common.kubernetes.assumed_root(), Vec::new());
    let after = context.policies.as_ref().unwrap_or(&none).with(&applied);
    let found = changes(
        context.workloads(),
        context.policies.as_ref(),
        &after,
        &context.question,
    );
    let mut reasons = context.question.problems.clone();
    let mut exit = if reasons.is_empty() {
        Exit::Ready
    } else {
        Exit::NotProven
    };
    let (asked, skipped): (Vec<_>, Vec<_>) = applied.iter().cloned().partition(|policy| {
        context.concerns(&policy.namespace) || policy.namespace == after.root_namespace
    });
    for doubt in doubts(
        &asked,
        context.policies.as_ref(),
        &context.workloads(),
        context.cluster.as_ref(),
        &after.root_namespace,
    ) {
        exit = exit.and(Exit::NotProven);
        reasons.push(doubt);
    }
    exit = found.iter().map(Change::exit).fold(exit, Exit::and);
    let result = GateResult {
        api_version: API_VERSION,
        kind: "GateResult",
        basis: context.basis(),
        policies: applied.iter().map(PeerAuthentication::id).collect(),
        passed: exit == Exit::Ready,
        changes: found
            .iter()
            .map(|change| change_row(change, &context))
            .collect(),
        reasons,
        skipped: skipped.iter().map(PeerAuthentication::id).collect(),
        files: files.to_vec(),
    };
    match common.format()? {
        Format::Junit => {
            let cases: Vec<(String, Vec<String>)> = result
                .changes
                .iter()
                .map(|row| {
                    (
                        format!("{}/{}", row.namespace, row.workload),
                        row.obstacles.clone(),
                    )
                })
                .collect();
            out.write_all(junit::report("plainsight gate", &cases, &result.reasons)?.as_bytes())
                .map_err(Error::output)?;
        }
        Format::Github => out
            .write_all(annotations(&result).as_bytes())
            .map_err(Error::output)?,
        _ => super::show(&result, common, out)?,
    }
    Ok(exit)
}

fn change_row<'a>(change: &Change<'a>, context: &Context) -> ChangeRow<'a> {
    let now = context.question.now;
    let mut obstacles: Vec<String> = change
        .callers
        .iter()
        .map(|caller| {
            format!(
                "{} calls port {} in {}, last {}",
                caller.display(),
                caller.destination_port,
                caller.peer.speaks(),
                ago(Some(caller.last_seen), now)
            )
        })
        .collect();
    obstacles.extend(change.unproven.iter().cloned());
    ChangeRow {
        namespace: change.namespace.clone(),
        workload: change.workload.clone(),
        before: change.before.as_ref().map(ToString::to_string),
        after: change.after.as_ref().map(ToString::to_string),
        result: match change.exit() {
            Exit::Ready => "pass",
            Exit::Callers => "callers",
            _ => "not-proven",
        },
        weaker: change.weaker,
        callers: change.callers.clone(),
        unproven: change.unproven.clone(),
        obstacles,
    }
}

/// GitHub's workflow commands, one per obstacle.
fn annotations(result: &GateResult<'_>) -> String {
    // https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let file = match result.files.as_slice() {
        [one] if one.as_os_str() != "-" => {
            format!("file={},", property(&one.display().to_string()))
        }
        _ => String::new(),
    };
    let mut text = String::new();
    for row in &result.changes {
        let name = format!("{}/{}", row.namespace, row.workload);
        for obstacle in &row.obstacles {
            text.push_str(&format!(
                "::error {file}title={}::{}\n",
                property(&format!("plainsight: {name}")),
                data(&format!("{name}: {obstacle}"))
            ));
        }
        if row.weaker {
            text.push_str(&format!(
                "::warning {file}title={}::{}\n",
                property(&format!("plainsight: {name}")),
                data(&format!("{name}: becomes weaker"))
            ));
        }
    }
    for reason in &result.reasons {
        text.push_str(&format!(
            "::error {file}title=plainsight::{}\n",
            data(reason)
        ));
    }
    if result.passed {
        text.push_str(&format!(
            "::notice {file}title=plainsight::{}\n",
            data(&format!(
                "passed; {}",
                result.basis.line().trim_start_matches("# ")
            ))
        ));
    }
    text
}

impl Answer for GateResult<'_> {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn grid(&self, wide: bool) -> Grid {
        let mut columns = vec![
            "NAMESPACE",
            "WORKLOAD",
            "BEFORE",
            "AFTER",
            "RESULT",
            ">CALLERS",
        ];
        if wide {
            columns.push("WHY");
        }
        let mut grid = Grid::new(&columns);
        for row in &self.changes {
            let tone = if row.result == "pass" {
                Tone::Good
            } else {
                Tone::Bad
            };
            let callers: BTreeSet<_> = row.callers.iter().map(|caller| caller.identity()).collect();
            let mut fields: Vec<Field> = vec![
                row.namespace.as_str().into(),
                row.workload.as_str().into(),
                row.before.as_deref().unwrap_or("unknown").into(),
                row.after.as_deref().unwrap_or("unknown").into(),
                Field::toned(row.result.replace('-', " "), tone),
                callers.len().into(),
            ];
            if wide {
                fields.push(row.obstacles.join("; ").into());
            }
            grid.row(fields);
        }
        grid
    }

    fn records(&self) -> Records {
        let header = vec![
            "namespace",
            "workload",
            "before",
            "after",
            "result",
            "callers",
            "why",
        ];
        let rows = self.changes.iter().map(|row| {
            let text = |mode: &Option<String>| mode.clone().unwrap_or_default();
            let callers = row.callers.len().to_string();
            vec![
                row.namespace.clone(),
                row.workload.clone(),
                text(&row.before),
                text(&row.after),
                row.result.into(),
                callers,
                row.obstacles.join("; "),
            ]
        });
        Records {
            header,
            rows: rows.collect(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.reasons.clone();
        for row in &self.changes {
            remarks.extend(
                row.obstacles
                    .iter()
                    .map(|obstacle| format!("{}/{}: {obstacle}", row.namespace, row.workload)),
            );
            if row.weaker {
                remarks.push(format!(
                    "{}/{}: becomes weaker",
                    row.namespace, row.workload
                ));
            }
        }
        if !self.skipped.is_empty() {
            remarks.push(format!(
                "not looked at, because of -n: {}",
                self.skipped.join(", ")
            ));
        }
        remarks.push(match (self.passed, self.changes.is_empty()) {
            (true, true) => "passed: nothing becomes stricter".into(),
            (true, false) => "passed".into(),
            (false, _) => "not passed".into(),
        });
        remarks
    }
}
