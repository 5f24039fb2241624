//! Policies for what is ready. A plan never weakens anything, and checks itself before it is printed.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::gate::ports_of;
use crate::decide::readiness::{Decision, NamespaceAnswer, WorkloadAnswer};
use crate::exit::Exit;
use crate::model::cluster::Pod;
use crate::model::evidence::Caller;
use crate::model::mode::{Effective, Labels, Mode, PeerAuthentication, Policies};
use crate::model::selector::selector;

/// One policy to apply.
#[derive(Debug, Clone)]
pub struct Step {
    /// The policy as it should be.
    pub policy: PeerAuthentication,
    /// The policy that takes the step back: the modes of today, in the same object.
    pub rollback: PeerAuthentication,
    /// An existing policy is changed, not a new one made.
    pub merged: bool,
    /// The workloads it is for; none: the namespace.
    pub workloads: Vec<String>,
}

/// A port that stays open, and the callers that made it necessary.
#[derive(Debug, Clone)]
pub struct Exemption {
    /// The target port.
    pub port: u16,
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub workload: String,
    /// Who needs it.
    pub callers: BTreeSet<String>,
}

/// A workload that the plan does not switch.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The workload.
    pub workload: String,
    /// Why.
    pub reason: String,
    /// Its share of the exit code.
    pub exit: Exit,
}

/// The steps in order, and what they leave open or out.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Workload by workload, then the namespace.
    pub steps: Vec<Step>,
    /// Ports that stay open.
    pub exemptions: Vec<Exemption>,
    /// Workloads not switched.
    pub left_out: Vec<LeftOut>,
}

impl Plan {
    /// 0 if the whole namespace is STRICT afterwards.
    pub fn exit(&self) -> Exit {
        self.left_out
            .iter()
            .map(|left| left.exit)
            .fold(Exit::Ready, Exit::and)
    }
}

/// A workload that can be switched, with the ports to keep open.
struct Candidate<'a, 'b> {
    answer: &'b WorkloadAnswer<'a>,
    mode: &'b Effective,
    labels: &'b [Labels],
}

/// A workload that an existing policy governs.
struct Member<'a, 'b> {
    answer: &'b WorkloadAnswer<'a>,
    /// All of its pods, not some of them.
    whole: bool,
}

/// The plan for one namespace, or why there can be none.
pub fn plan(
    answer: &NamespaceAnswer<'_>,
    policies: &Policies,
    pods: &[Pod],
    max_exempt: usize,
) -> Result<Plan, String> {
    let namespace = answer.namespace.as_str();
    if namespace == policies.root_namespace {
        return Err(format!(
            "{namespace} is the root namespace: its policy is the whole mesh's, and a plan never touches it"
        ));
    }
    let mut plan = Plan::default();
    let mut alone: Vec<Candidate<'_, '_>> = Vec::new();
    let mut shared: BTreeMap<String, Vec<Member<'_, '_>>> = BTreeMap::new();
    for workload in &answer.workloads {
        let governing: Option<BTreeSet<Option<String>>> =
            workload.workload.labels.as_ref().map(|sets| {
                sets.iter()
                    .map(|labels| {
                        policies
                            .of_workload(namespace, labels)
                            .map(PeerAuthentication::id)
                    })
                    .collect()
            });
        let one = governing
            .as_ref()
            .and_then(|ids| if ids.len() == 1 { ids.first() } else { None });
        for id in governing.iter().flatten().flatten() {
            shared.entry(id.clone()).or_default().push(Member {
                answer: workload,
                whole: one.is_some(),
            });
        }
        if workload.decision == Decision::Done {
            continue;
        }
        let leave = |plan: &mut Plan, reason: &str, exit| {
            plan.left_out.push(LeftOut {
                workload: workload.workload.name.into(),
                reason: reason.into(),
                exit,
            });
        };
        match (&workload.mode, &workload.workload.labels, workload.decision) {
            (_, _, Decision::NotYet) => {
                leave(&mut plan, &obstacle(workload, max_exempt), workload.exit())
            }
            (Some(mode), Some(labels), _) if !labels.is_empty() => match one {
                None => leave(
                    &mut plan,
                    "different policies govern its pods: make their labels alike first",
                    Exit::NotProven,
                ),
                Some(None) => alone.push(Candidate {
                    answer: workload,
                    mode,
                    labels,
                }),
                Some(Some(_)) => {}
            },
            _ => leave(
                &mut plan,
                "the labels of its pods are unknown: no selector can be written",
                Exit::NotProven,
            ),
        }
    }
    for (id, members) in shared {
        if members
            .iter()
            .all(|member| member.answer.decision == Decision::Done)
        {
            continue;
        }
        let Some(policy) = policies.items().iter().find(|item| item.id() == id) else {
            continue;
        };
        if let Err(reason) = merge(&mut plan, policy, &members, max_exempt) {
            let ready = members.iter().filter(|member| {
                member.whole && !matches!(member.answer.decision, Decision::Done | Decision::NotYet)
            });
            plan.left_out.extend(ready.map(|member| LeftOut {
                workload: member.answer.workload.name.into(),
                reason: reason.clone(),
                exit: Exit::Callers,
            }));
        }
    }
    for candidate in alone {
        create(&mut plan, &candidate, policies, pods);
    }
    plan.steps
        .sort_by(|one, other| one.workloads.cmp(&other.workloads));
    plan.left_out
        .sort_by(|one, other| one.workload.cmp(&other.workload));
    if plan.left_out.is_empty()
        && policies.namespace_mode(namespace) != Mode::Strict
        && !answer.workloads.is_empty()
    {
        plan.steps.push(whole_namespace(namespace, policies));
    }
    check(&plan, answer, policies)?;
    Ok(plan)
}

fn obstacle(answer: &WorkloadAnswer<'_>, max_exempt: usize) -> String {
    let callers: BTreeSet<&str> = answer
        .blocking
        .iter()
        .map(|caller| caller.name.as_str())
        .collect();
    if !answer.unproven.is_empty() {
        return answer.unproven.join("; ");
    }
    let ports = answer.ports_to_exempt().len();
    format!(
        "{} callers on {ports} ports, more than --max-exempt {max_exempt}",
        callers.len()
    )
}

/// Callers by the port that must stay open for them.
fn exemptions(answer: &WorkloadAnswer<'_>) -> Vec<Exemption> {
    let mut ports: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for caller in answer.blocking.iter().chain(&answer.exempt) {
        let caller: &Caller = caller;
        ports
            .entry(caller.destination_port)
            .or_default()
            .insert(caller.display());
    }
    let (namespace, workload) = (answer.workload.namespace, answer.workload.name);
    let named = ports.into_iter();
    named
        .map(|(port, callers)| Exemption {
            port,
            namespace: namespace.into(),
            workload: workload.into(),
            callers,
        })
        .collect()
}

/// Changes the policy that governs the workloads already: a younger one would have no effect.
fn merge(
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
fn create(plan: &mut Plan, candidate: &Candidate<'_, '_>, policies: &Policies, pods: &[Pod]) {
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
fn whole_namespace(namespace: &str, policies: &Policies) -> Step {
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

/// Applies the plan step by step, on paper: nothing may become weaker, nothing may close on a caller or without proof,
/// and the rollback must restore every mode.
fn check(plan: &Plan, answer: &NamespaceAnswer<'_>, policies: &Policies) -> Result<(), String> {
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
