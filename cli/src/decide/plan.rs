//! Policies for what is ready. A plan never weakens anything, and checks itself before it is printed.

mod check;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use self::check::check;
use self::steps::{create, merge, whole_namespace};
use crate::decide::readiness::{Decision, NamespaceAnswer, WorkloadAnswer};
use crate::exit::Exit;
use crate::model::cluster::Pod;
use crate::model::evidence::Caller;
use crate::model::mode::{Effective, Labels, Mode, PeerAuthentication, Policies};

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
