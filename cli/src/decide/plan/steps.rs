//! The steps of a plan: existing policies changed, new ones made, and the namespace.

use std::collections::BTreeSet;

use super::{Candidate, LeftOut, Member, Plan, Step, exemptions};
use crate::decide::readiness::{Decision, WorkloadAnswer};
use crate::exit::Exit;
use crate::model::cluster::Pod;
use crate::model::mode::{Labels, Mode, PeerAuthentication, Policies};
use crate::model::selector::selector;

/// Changes the policy that governs the workloads already: a younger one would have no effect.
pub(super) fn merge(
    plan: &mut Plan,
    policy: &PeerAuthentication,
    members: &[Member<'_, '_>],
    max_exempt: usize,
) -> Result<(), String> {
    let (id, mut answers) = (policy.id(), members.iter().map(|member| member.answer));
    if let Some(waiting) = answers.find(|answer| answer.decision == Decision::NotYet) {
        let name = waiting.workload.name;
        return Err(format!(
            "policy {id} also governs {name}, which is not ready"
        ));
    }
    if let Some(split) = members.iter().find(|member| !member.whole) {
        let name = split.answer.workload.name;
        return Err(format!(
            "policy {id} also governs some pods of {name}, and others not: make their labels alike first"
        ));
    }
    let members: Vec<&WorkloadAnswer<'_>> = members.iter().map(|member| member.answer).collect();
    let mut merged = policy.clone();
    let mut rollback = policy.clone();
    let before = members
        .iter()
        .find_map(|member| member.mode.as_ref())
        .ok_or("its mode is unknown")?;
    merged.mode = Some(Mode::Strict);
    rollback.mode = Some(before.mode);
    for (port, own) in &policy.ports {
        // UNSET follows the workload's mode: said outright in both directions.
        merged
            .ports
            .insert(*port, Some(own.unwrap_or(Mode::Strict)));
        rollback
            .ports
            .insert(*port, Some(own.unwrap_or(before.mode)));
    }
    let mut needed = Vec::new();
    for member in members
        .iter()
        .filter(|member| member.decision != Decision::Done)
    {
        needed.extend(exemptions(member));
    }
    for exemption in &needed {
        let today = before.port(exemption.port);
        if today != Mode::Strict {
            merged.ports.insert(exemption.port, Some(today));
            rollback.ports.insert(exemption.port, Some(today));
        }
    }
    let open: BTreeSet<u16> = needed.iter().map(|exemption| exemption.port).collect();
    if open.len() > max_exempt {
        return Err(format!(
            "policy {id} governs several workloads: together they need {} open ports",
            open.len()
        ));
    }
    plan.exemptions.extend(needed);
    let workloads = members
        .iter()
        .map(|member| member.workload.name.to_owned())
        .collect();
    plan.steps.push(Step {
        policy: merged,
        rollback,
        merged: true,
        workloads,
    });
    Ok(())
}

/// A new policy with a selector of its own.
pub(super) fn create(
    plan: &mut Plan,
    candidate: &Candidate<'_, '_>,
    policies: &Policies,
    pods: &[Pod],
) {
    let (namespace, workload) = (
        candidate.answer.workload.namespace,
        candidate.answer.workload.name,
    );
    let selector = selector(namespace, workload, pods);
    let Some(selector) = selector.filter(|found| {
        candidate.labels.iter().all(|labels| {
            found
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
        })
    }) else {
        plan.left_out.push(LeftOut {
            workload: workload.into(),
            reason: "no set of its pods' labels selects it alone".into(),
            exit: Exit::NotProven,
        });
        return;
    };
    let needed = exemptions(candidate.answer);
    let ports = needed
        .iter()
        .map(|exemption| (exemption.port, Some(candidate.mode.port(exemption.port))))
        .collect();
    let policy = PeerAuthentication {
        namespace: namespace.into(),
        name: free_name(policies, namespace, &format!("plainsight-{workload}")),
        created: None,
        selector,
        mode: Some(Mode::Strict),
        ports,
        labels: Labels::new(),
        annotations: Labels::new(),
    };
    // The exceptions are named in the rollback too: a client-side apply then removes nothing.
    let rollback = PeerAuthentication {
        mode: Some(candidate.mode.mode),
        ..policy.clone()
    };
    plan.exemptions.extend(needed);
    plan.steps.push(Step {
        policy,
        rollback,
        merged: false,
        workloads: vec![workload.into()],
    });
}

/// The last step: pods that no selector matches, and those to come.
pub(super) fn whole_namespace(namespace: &str, policies: &Policies) -> Step {
    let before = policies.namespace_mode(namespace);
    let (policy, merged) = match policies.of_namespace(namespace) {
        Some(policy) => (policy.clone(), true),
        None => {
            let name = free_name(policies, namespace, "default");
            let (selector, ports, labels, annotations) = Default::default();
            (
                PeerAuthentication {
                    namespace: namespace.into(),
                    name,
                    created: None,
                    selector,
                    mode: None,
                    ports,
                    labels,
                    annotations,
                },
                false,
            )
        }
    };
    Step {
        rollback: PeerAuthentication {
            mode: Some(before),
            ..policy.clone()
        },
        policy: PeerAuthentication {
            mode: Some(Mode::Strict),
            ..policy
        },
        merged,
        workloads: Vec::new(),
    }
}

fn free_name(policies: &Policies, namespace: &str, wanted: &str) -> String {
    let taken = |name: &str| {
        policies
            .items()
            .iter()
            .any(|item| item.namespace == namespace && item.name == name)
    };
    let mut name = wanted.to_owned();
    while taken(&name) {
        name.push_str("-strict");
    }
    name
}
