//! Is a workload, or a namespace, ready for STRICT?
//!
//! Agrees with `plainsight:*:ready` where no policy is STRICT already: ready means no blocking caller within the
//! window and full coverage throughout it. Unknown is not ready.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::model::evidence::{Caller, Coverage, Strict, Traffic};
use crate::model::facts::Workload;
use crate::model::mode::{Effective, Mode, Policies};
use crate::model::span::{Length, rough};

/// Which callers count.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// Probes and scrapes count too.
    #[default]
    All,
    /// Probes and scrapes do not count.
    App,
}

/// What is asked of the evidence.
#[derive(Debug, Clone)]
pub struct Question {
    /// Callers seen within it count; coverage must reach back over all of it.
    pub window: Length,
    /// Which callers count.
    pub counted: Counted,
    /// The time of the queries.
    pub now: Timestamp,
    /// Exceptions tolerated per workload.
    pub max_exempt: usize,
    /// Reasons why the evidence as a whole proves nothing.
    pub problems: Vec<String>,
}

impl Question {
    /// The caller is of the kind that counts.
    pub fn concerns(&self, caller: &Caller) -> bool {
        self.counted == Counted::All || caller.traffic == Traffic::App
    }

    /// The caller was seen within the window and is of the kind that counts.
    pub fn counts(&self, caller: &Caller) -> bool {
        self.concerns(caller) && caller.last_seen > self.window.before(self.now)
    }

    /// Why the workload's evidence proves nothing; empty when it does. Like `plainsight:workload:proven`: the time since
    /// when all pods report decides, and survives gaps of up to 15 minutes.
    pub fn unproven(&self, coverage: &Coverage) -> Vec<String> {
        let mut reasons = self.problems.clone();
        match (coverage.reporting_since, coverage.pods) {
            (Some(since), _) if since > self.window.before(self.now) => {
                reasons.push(format!(
                    "proven for {} of {}",
                    rough(since, self.now),
                    self.window
                ));
            }
            (Some(_), _) => {}
            (None, None) => reasons.push("coverage is unknown: no evidence of its pods".into()),
            (None, Some(pods)) => {
                let missing = pods.saturating_sub(coverage.pods_reporting.unwrap_or(0));
                reasons.push(match missing {
                    0 => "not all pods have reported without a gap".into(),
                    1 => format!("1 of {pods} pods has no filter"),
                    _ => format!("{missing} of {pods} pods have no filter"),
                });
            }
        }
        reasons
    }
}

/// The answer for one workload or namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// STRICT already.
    Done,
    /// Nothing is in the way.
    Switch,
    /// Ready but for a few ports, which an exception keeps open.
    Except,
    /// Callers are in the way, or nothing is proven.
    NotYet,
}

impl Decision {
    /// How the table shows it.
    pub fn label(self) -> &'static str {
        match self {
            Decision::Done => "done",
            Decision::Switch => "switch",
            Decision::Except => "except",
            Decision::NotYet => "not yet",
        }
    }
}

/// What is known of one workload, and the decision.
#[derive(Debug, Clone)]
pub struct WorkloadAnswer<'a> {
    /// The facts.
    pub workload: Workload<'a>,
    /// Its mode now, if known.
    pub mode: Option<Effective>,
    /// Callers that STRICT would refuse, within the window, on ports that are not STRICT.
    pub blocking: Vec<&'a Caller>,
    /// Callers on ports that the filter's `exempt` names.
    pub exempt: Vec<&'a Caller>,
    /// Why the evidence proves nothing; empty when it does.
    pub unproven: Vec<String>,
    /// The answer.
    pub decision: Decision,
}

impl WorkloadAnswer<'_> {
    /// Ports with callers in the way.
    pub fn blocking_ports(&self) -> BTreeSet<u16> {
        self.blocking
            .iter()
            .map(|caller| caller.destination_port)
            .collect()
    }

    /// Ports that an exception has to keep open: of blocking and of exempt callers.
    pub fn ports_to_exempt(&self) -> BTreeSet<u16> {
        self.blocking
            .iter()
            .chain(&self.exempt)
            .map(|caller| caller.destination_port)
            .collect()
    }

    /// Last time any caller without mutual TLS was seen, in all remembered time.
    pub fn last_plaintext(&self) -> Option<Timestamp> {
        self.workload
            .callers
            .iter()
            .map(|caller| caller.last_seen)
            .max()
    }

    /// The exit code for this workload alone.
    pub fn exit(&self) -> Exit {
        match self.decision {
            Decision::Done | Decision::Switch => Exit::Ready,
            Decision::Except | Decision::NotYet if !self.blocking.is_empty() => Exit::Callers,
            Decision::Except => Exit::Ready,
            Decision::NotYet => {
                if self.unproven.is_empty() {
                    Exit::Callers
                } else {
                    Exit::NotProven
                }
            }
        }
    }
}

/// The newest sighting on the port is exempt: older evidence against it no longer counts, as in `plainsight:port:exempt`.
fn exempt_now(workload: &Workload<'_>, port: u16) -> bool {
    let newest = |strict| {
        let callers = workload
            .callers
            .iter()
            .filter(|caller| caller.destination_port == port && caller.strict == strict);
        callers.map(|caller| caller.last_seen).max()
    };
    newest(Strict::Exempt)
        .is_some_and(|exempt| newest(Strict::Reject).is_none_or(|reject| reject <= exempt))
}

/// Decides for one workload.
pub fn workload<'a>(
    workload: Workload<'a>,
    policies: Option<&Policies>,
    question: &Question,
) -> WorkloadAnswer<'a> {
    let contested = policies.and_then(|policies| workload.contested(policies));
    let mode = policies
        .filter(|_| contested.is_none())
        .and_then(|policies| workload.mode(policies));
    let open = |port| {
        mode.as_ref()
            .is_none_or(|mode| mode.port(port) != Mode::Strict)
    };
    let counted = workload.callers.iter().copied();
    let (mut exempt, blocking): (Vec<&Caller>, Vec<&Caller>) = counted
        .filter(|caller| question.counts(caller) && open(caller.destination_port))
        .partition(|caller| {
            caller.strict == Strict::Exempt || exempt_now(&workload, caller.destination_port)
        });
    // A caller from before the exemption that came again since then has two series; the newer verdict holds.
    let since_exempt: Vec<&Caller> = exempt
        .iter()
        .copied()
        .filter(|caller| caller.strict == Strict::Exempt)
        .collect();
    exempt.retain(|caller| {
        caller.strict == Strict::Exempt
            || !since_exempt
                .iter()
                .any(|other| other.differs_only_in_verdict(caller))
    });
    let mut unproven = question.unproven(&workload.coverage);
    unproven.extend(contested);
    let mut answer = WorkloadAnswer {
        workload,
        mode,
        blocking,
        exempt,
        unproven,
        decision: Decision::NotYet,
    };
    let strict = answer
        .mode
        .as_ref()
        .is_some_and(|mode| mode.mode == Mode::Strict);
    let exceptions = answer.ports_to_exempt().len();
    if strict {
        // Ports that a policy keeps open are the exceptions chosen in a policy: their callers do not count.
        answer.decision = Decision::Done;
        answer.exempt.append(&mut answer.blocking);
    } else if answer.unproven.is_empty() {
        answer.decision = match exceptions {
            0 => Decision::Switch,
            _ if exceptions <= question.max_exempt => Decision::Except,
            _ => Decision::NotYet,
        };
    }
    answer
}

/// The workloads of one namespace, and the decision for all of it.
#[derive(Debug, Clone)]
pub struct NamespaceAnswer<'a> {
    /// The namespace.
    pub namespace: String,
    /// Its workloads.
    pub workloads: Vec<WorkloadAnswer<'a>>,
    /// The answer.
    pub decision: Decision,
}

impl NamespaceAnswer<'_> {
    /// The modes of its workloads; `None` where one is unknown.
    pub fn mode(&self) -> Option<String> {
        let modes: Option<BTreeSet<Mode>> = self
            .workloads
            .iter()
            .map(|answer| answer.mode.as_ref().map(|mode| mode.mode))
            .collect();
        let modes = modes?;
        match (modes.len(), modes.first()) {
            (1, Some(mode)) => Some(mode.to_string()),
            (0, _) | (_, None) => None,
            _ => Some("mixed".into()),
        }
    }

    /// Distinct callers in the way.
    pub fn blocking_callers(&self) -> usize {
        let blocking = self.workloads.iter().flat_map(|answer| &answer.blocking);
        blocking
            .map(|caller| caller.identity())
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Distinct callers that are exempt.
    pub fn exempt_callers(&self) -> usize {
        let exempt = self.workloads.iter().flat_map(|answer| &answer.exempt);
        exempt
            .map(|caller| caller.identity())
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Ports that need an exception, or have one.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.workloads
            .iter()
            .flat_map(WorkloadAnswer::ports_to_exempt)
            .collect()
    }

    /// Pods reporting, and pods; `None` where one workload's are unknown.
    pub fn coverage(&self) -> Option<(u32, u32)> {
        let each = self.workloads.iter().map(|answer| {
            let coverage = &answer.workload.coverage;
            match coverage.pods {
                Some(pods) => Some((coverage.pods_reporting.unwrap_or(0), pods)),
                // Scaled to zero.
                None => coverage.reporting_since.map(|_| (0, 0)),
            }
        });
        each.collect::<Option<Vec<_>>>().map(|all| {
            all.into_iter()
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        })
    }

    /// Since when every pod of every workload has reported.
    pub fn proven_since(&self) -> Option<Timestamp> {
        let each = self
            .workloads
            .iter()
            .map(|answer| answer.workload.coverage.reporting_since);
        each.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Last time any caller without mutual TLS was seen.
    pub fn last_plaintext(&self) -> Option<Timestamp> {
        self.workloads
            .iter()
            .filter_map(WorkloadAnswer::last_plaintext)
            .max()
    }

    /// The exit code for this namespace alone.
    pub fn exit(&self) -> Exit {
        if self.workloads.is_empty() {
            return Exit::NotProven;
        }
        self.workloads
            .iter()
            .map(WorkloadAnswer::exit)
            .fold(Exit::Ready, Exit::and)
    }
}

/// Decides for each namespace.
pub fn namespaces<'a>(
    workloads: Vec<Workload<'a>>,
    policies: Option<&Policies>,
    question: &Question,
) -> Vec<NamespaceAnswer<'a>> {
    let mut grouped: BTreeMap<String, Vec<WorkloadAnswer<'a>>> = BTreeMap::new();
    for facts in workloads {
        grouped
            .entry(facts.namespace.to_owned())
            .or_default()
            .push(workload(facts, policies, question));
    }
    let decided = grouped.into_iter().map(|(namespace, workloads)| {
        let decision = decide(&workloads);
        NamespaceAnswer {
            namespace,
            workloads,
            decision,
        }
    });
    decided.collect()
}

/// A namespace is as far as its workload that is least far.
fn decide(workloads: &[WorkloadAnswer<'_>]) -> Decision {
    let any = |wanted| workloads.iter().any(|answer| answer.decision == wanted);
    if workloads.is_empty() || any(Decision::NotYet) {
        Decision::NotYet
    } else if any(Decision::Except) {
        Decision::Except
    } else if any(Decision::Switch) {
        Decision::Switch
    } else {
        Decision::Done
    }
}
