//! After a switch: which callers stopped, whose handshakes fail, does mutual TLS flow?

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::decide::readiness::Question;
use crate::exit::Exit;
use crate::model::aftermath::{Aftermath, Flow, RATE_SECONDS, TurnedAway};
use crate::model::evidence::{Caller, Strict};
use crate::model::facts::Workload;
use crate::model::mode::{Mode, Policies};
use crate::model::span::{Length, rough};

/// Time for one evaluation of the rules beyond [`RATE_SECONDS`].
const MIN_SECONDS: i64 = 180;

/// What became of a caller without mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Still served after the switch.
    StillServed,
    /// Came shortly before the switch and not since.
    FellSilent,
    /// Came within the window, too seldom to say.
    NotDue,
}

/// What was found.
#[derive(Debug)]
pub struct Verification<'a> {
    /// Workloads that are not STRICT although they should be.
    pub not_strict: Vec<String>,
    /// Callers without mutual TLS, on ports that are not open by choice.
    pub callers: Vec<(&'a Caller, Fate)>,
    /// Callers whose handshakes fail.
    pub turned_away: Vec<&'a TurnedAway>,
    /// Ports where mutual TLS stopped.
    pub stopped: Vec<&'a Flow>,
    /// Ports where it flows on.
    pub flowing: usize,
    /// Why nothing is proven.
    pub unproven: Vec<String>,
}

impl Verification<'_> {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        let broken = self.callers.iter().any(|(_, fate)| *fate != Fate::NotDue);
        if broken || !self.turned_away.is_empty() || !self.stopped.is_empty() {
            Exit::Callers
        } else if !self.unproven.is_empty() || !self.not_strict.is_empty() {
            Exit::NotProven
        } else {
            Exit::Ready
        }
    }
}

/// Compares the time since the switch with as long before it.
pub fn verify<'a>(
    workloads: &[Workload<'a>],
    policies: Option<&Policies>,
    aftermath: &'a Aftermath,
    concerns: impl Fn(&str) -> bool,
    question: &Question,
) -> Verification<'a> {
    let since = Length::from_seconds(aftermath.since_seconds);
    let switch = since.before(question.now);
    let shortly = since.before(switch);
    let mut found = Verification {
        not_strict: Vec::new(),
        callers: Vec::new(),
        turned_away: aftermath
            .turned_away
            .iter()
            .filter(|one| concerns(&one.destination_namespace))
            .collect(),
        stopped: Vec::new(),
        flowing: 0,
        unproven: question.problems.clone(),
    };
    for workload in workloads {
        let mode = policies
            .filter(|policies| workload.contested(policies).is_none())
            .and_then(|policies| workload.mode(policies));
        let name = format!("{}/{}", workload.namespace, workload.name);
        match &mode {
            Some(mode) if mode.mode != Mode::Strict => {
                found.not_strict.push(format!("{name}: {mode}"))
            }
            Some(_) => {}
            None => found.unproven.push(format!(
                "{name}: its mode is unknown, so whether it was switched at all"
            )),
        }
        match workload.coverage.reporting_since {
            None => found.unproven.push(format!("{name}: not all pods report")),
            Some(since) if since > shortly => found.unproven.push(format!(
                "{name}: its pods report for {} only: callers from before the switch are unknown",
                rough(since, question.now)
            )),
            Some(_) => {}
        }
        // A window shorter than the time compared must hide no caller.
        for caller in workload.callers.iter().filter(|caller| {
            question.counts(caller) || question.concerns(caller) && caller.last_seen > shortly
        }) {
            // A port that a policy keeps open, or that is exempt where modes are unknown, is open by choice.
            let open = mode
                .as_ref()
                .map_or(caller.strict == Strict::Exempt, |mode| {
                    mode.port(caller.destination_port) != Mode::Strict
                });
            if open {
                continue;
            }
            let fate = if caller.last_seen > switch {
                Fate::StillServed
            } else if caller.last_seen > shortly {
                Fate::FellSilent
            } else {
                Fate::NotDue
            };
            found.callers.push((caller, fate));
        }
    }
    found
        .callers
        .sort_by_key(|(caller, fate)| (*fate, std::cmp::Reverse(caller.last_seen)));
    for flow in aftermath
        .flows
        .iter()
        .filter(|flow| concerns(&flow.namespace))
    {
        if flow.after > 0.0 {
            found.flowing += 1;
        } else if flow.before > 0.0 {
            found.stopped.push(flow);
        }
    }
    if aftermath.since_seconds < RATE_SECONDS + MIN_SECONDS {
        found.unproven.push(format!(
            "too soon: the rates look back {}m; ask again {}m after the switch",
            RATE_SECONDS / 60,
            (RATE_SECONDS + MIN_SECONDS) / 60
        ));
    }
    let namespaces: BTreeSet<&str> = workloads
        .iter()
        .map(|workload| workload.namespace)
        .collect();
    for namespace in namespaces {
        let mut own = aftermath
            .flows
            .iter()
            .filter(|flow| flow.namespace == namespace);
        if !own.any(|flow| flow.before > 0.0 || flow.after > 0.0) {
            found.unproven.push(format!(
                "{namespace}: no mutual TLS was seen, neither before the switch nor since"
            ));
        }
    }
    if workloads.is_empty() {
        found
            .unproven
            .push("no workload with a sidecar is known".into());
    }
    found
}
