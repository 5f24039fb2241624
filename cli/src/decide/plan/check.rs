//! A plan applied on paper before it is printed.

use super::Plan;
use crate::decide::gate::ports_of;
use crate::decide::readiness::{NamespaceAnswer, WorkloadAnswer};
use crate::model::mode::{Effective, Mode, PeerAuthentication, Policies};

/// Applies the plan step by step, on paper: nothing may become weaker, nothing may close on a caller or without proof,
/// and the rollback must restore every mode.
pub(super) fn check(
    plan: &Plan,
    answer: &NamespaceAnswer<'_>,
    policies: &Policies,
) -> Result<(), String> {
    let steps: Vec<PeerAuthentication> =
        plan.steps.iter().map(|step| step.policy.clone()).collect();
    let back: Vec<PeerAuthentication> = plan
        .steps
        .iter()
        .rev()
        .map(|step| step.rollback.clone())
        .collect();
    for workload in &answer.workloads {
        let name = workload.workload.name;
        let modes = |policies: &Policies| {
            let modes = workload.workload.modes(policies);
            modes.ok_or_else(|| format!("{name}: its mode became unknown"))
        };
        let Ok(before) = modes(policies) else {
            continue;
        };
        let mut previous = before.clone();
        for count in 1..=steps.len() {
            let after = modes(&policies.with(steps.get(..count).unwrap_or_default()))?;
            // Pods of one workload may differ: each label set is compared with itself.
            for ((before, previous), after) in before.iter().zip(&previous).zip(&after) {
                step(workload, before, previous, after)?;
            }
            previous = after;
        }
        let restored = modes(&policies.with(&steps).with(&back))?;
        for (before, restored) in before.iter().zip(&restored) {
            let mut ports = ports_of(&[before, restored]).into_iter();
            if let Some(port) = ports.find(|port| restored.port(*port) != before.port(*port)) {
                return Err(format!(
                    "{name}: the rollback leaves port {port} changed: {before} -> {restored}"
                ));
            }
        }
    }
    Ok(())
}

/// One step's effect on pods with the same labels.
fn step(
    workload: &WorkloadAnswer<'_>,
    before: &Effective,
    previous: &Effective,
    after: &Effective,
) -> Result<(), String> {
    let name = workload.workload.name;
    let ports = ports_of(&[before, previous, after]);
    if let Some(port) = ports
        .iter()
        .find(|port| after.port(**port) < previous.port(**port))
    {
        return Err(format!(
            "{name}: port {port} would become weaker: {before} -> {after}"
        ));
    }
    let closes = |port: u16| after.port(port) == Mode::Strict && before.port(port) != Mode::Strict;
    if ports.into_iter().any(closes) && !workload.unproven.is_empty() {
        return Err(format!("{name}: would become stricter without proof"));
    }
    let mut callers = workload.blocking.iter().chain(&workload.exempt);
    if let Some(caller) = callers.find(|caller| closes(caller.destination_port)) {
        return Err(format!(
            "{name}: would refuse {} on port {}",
            caller.name, caller.destination_port
        ));
    }
    Ok(())
}
