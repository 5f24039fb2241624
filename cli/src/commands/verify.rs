//! `plainsight verify`: what a switch did.

use std::io::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Needs};
use crate::args::{Common, Files};
use crate::decide::verify::{Fate, Verification, verify};
use crate::model::aftermath::{Flow, TurnedAway};
use crate::model::evidence::Caller;
use crate::model::span::{Length, ago};
use crate::output::document::{API_VERSION, Basis};
use crate::output::render::Answer;
use crate::output::table::{Field, Grid, Records, Tone};
use crate::{Error, Exit};

/// What a switch did.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationDocument<'a> {
    api_version: &'static str,
    kind: &'static str,
    basis: Basis,
    /// How long ago the switch was.
    since: String,
    /// Nothing broke.
    passed: bool,
    callers: Vec<FateRow<'a>>,
    /// Callers whose handshakes fail.
    turned_away: Vec<&'a TurnedAway>,
    /// Ports where mutual TLS stopped.
    stopped: Vec<&'a Flow>,
    /// Ports where it flows on.
    flowing_ports: usize,
    /// Workloads that are not STRICT.
    not_strict: Vec<String>,
    /// Why nothing is proven.
    unproven: Vec<String>,
}

/// A caller without mutual TLS, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct FateRow<'a> {
    fate: Fate,
    #[serde(flatten)]
    caller: &'a Caller,
}

/// Runs the command.
pub fn run(
    common: &Common,
    namespaces: &[String],
    since: Length,
    files: &Files,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let context = Context::load(
        common,
        files,
        &Needs {
            namespaces,
            activity: false,
            since: Some(since),
        },
    )?;
    let Some(aftermath) = &context.aftermath else {
        return Err(Error::Usage(
            "verify: the snapshot holds no --since: take one with `plainsight snapshot --since`"
                .into(),
        ));
    };
    if aftermath.since_seconds != since.seconds() {
        let taken = Length::from_seconds(aftermath.since_seconds);
        return Err(Error::Usage(format!(
            "--since {since}: the snapshot was taken with --since {taken}"
        )));
    }
    let workloads = context.workloads();
    let found = verify(
        &workloads,
        context.policies.as_ref(),
        aftermath,
        |name| context.concerns(name),
        &context.question,
    );
    let exit = found.exit();
    let Verification {
        not_strict,
        callers,
        turned_away,
        stopped,
        flowing,
        unproven,
    } = found;
    let document = VerificationDocument {
        api_version: API_VERSION,
        kind: "Verification",
        basis: context.basis(),
        since: since.to_string(),
        passed: exit == Exit::Ready,
        callers: callers
            .into_iter()
            .map(|(caller, fate)| FateRow { fate, caller })
            .collect(),
        turned_away,
        stopped,
        flowing_ports: flowing,
        not_strict,
        unproven,
    };
    super::show(&document, common, out)?;
    Ok(exit)
}

impl FateRow<'_> {
    fn label(&self) -> (&'static str, Tone) {
        match self.fate {
            Fate::StillServed => ("still served", Tone::Bad),
            Fate::FellSilent => ("stopped calling", Tone::Bad),
            Fate::NotDue => ("not due yet", Tone::Plain),
        }
    }
}

impl Answer for VerificationDocument<'_> {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn grid(&self, _wide: bool) -> Grid {
        let mut grid = Grid::new(&[
            "NAMESPACE",
            "WORKLOAD",
            ">PORT",
            "CALLER",
            "KIND",
            "FATE",
            "LAST SEEN",
        ]);
        let now = self.basis.queried_at;
        for row in &self.callers {
            let (label, tone) = row.label();
            let caller = row.caller;
            grid.row(vec![
                caller.destination_namespace.as_str().into(),
                caller.destination_workload.as_str().into(),
                caller.destination_port.into(),
                caller.display().into(),
                caller.kind.as_str().into(),
                Field::toned(label, tone),
                ago(Some(caller.last_seen), now).into(),
            ]);
        }
        for away in &self.turned_away {
            grid.row(vec![
                away.destination_namespace.as_str().into(),
                away.destination_workload.as_str().into(),
                away.destination_port.into(),
                away.name.as_str().into(),
                away.kind.as_str().into(),
                Field::toned("turned away", Tone::Bad),
                "-".into(),
            ]);
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
            "fate",
            "last_seen",
        ];
        let callers = self.callers.iter().map(|row| {
            let caller = row.caller;
            vec![
                caller.destination_namespace.clone(),
                caller.destination_workload.clone(),
                caller.destination_port.to_string(),
                caller.name.clone(),
                caller.kind.clone(),
                row.label().0.into(),
                caller.last_seen.to_string(),
            ]
        });
        let away = self.turned_away.iter().map(|away| {
            let port = away.destination_port.to_string();
            let (namespace, workload) = (
                away.destination_namespace.clone(),
                away.destination_workload.clone(),
            );
            vec![
                namespace,
                workload,
                port,
                away.name.clone(),
                away.kind.clone(),
                "turned away".into(),
                String::new(),
            ]
        });
        Records {
            header,
            rows: callers.chain(away).collect(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.unproven.clone();
        remarks.extend(
            self.not_strict
                .iter()
                .map(|workload| format!("not STRICT: {workload}")),
        );
        for flow in &self.stopped {
            remarks.push(format!(
                "{}/{}: mutual TLS to port {} stopped: {:.2} per second before, none since",
                flow.namespace, flow.workload, flow.port, flow.before
            ));
        }
        remarks.push(format!(
            "mutual TLS flows to {} ports; {} stopped",
            self.flowing_ports,
            self.stopped.len()
        ));
        remarks
    }
}
