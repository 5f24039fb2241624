//! May policies be applied now? Asked for exactly the workloads and ports that would become stricter.

use std::collections::BTreeSet;

use crate::decide::readiness::Question;
use crate::exit::Exit;
use crate::model::evidence::Caller;
use crate::model::facts::Workload;
use crate::model::mode::{Effective, Mode, Policies};

/// The answer for one workload that would change.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub workload: String,
    /// Its mode today.
    pub before: Option<Effective>,
    /// Its mode with the policies applied.
    pub after: Option<Effective>,
    /// Callers that would be refused.
    pub callers: Vec<&'a Caller>,
    /// Why nothing is proven.
    pub unproven: Vec<String>,
    /// Ports that would become weaker: no obstacle for callers, and worth a remark.
    pub weaker: bool,
}

impl Change<'_> {
    /// The exit code for this workload alone.
    pub fn exit(&self) -> Exit {
        if !self.callers.is_empty() {
            Exit::Callers
        } else if !self.unproven.is_empty() {
            Exit::NotProven
        } else {
            Exit::Ready
        }
    }
}

/// The ports on which two modes can differ; port 0 stands for all others.
pub fn ports_of(modes: &[&Effective]) -> BTreeSet<u16> {
    modes
        .iter()
        .flat_map(|mode| mode.ports.keys().copied())
        .chain([0])
        .collect()
}

/// The changes that `after` makes to `before`. Without `before`, everything counts as PERMISSIVE today.
pub fn changes<'a>(
    workloads: Vec<Workload<'a>>,
    before: Option<&Policies>,
    after: &Policies,
    question: &Question,
) -> Vec<Change<'a>> {
    workloads
        .into_iter()
        .filter_map(|workload| change(&workload, before, after, question))
        .collect()
}

fn change<'a>(
    workload: &Workload<'a>,
    before: Option<&Policies>,
    after: &Policies,
    question: &Question,
) -> Option<Change<'a>> {
    let today = before.and_then(|before| workload.mode(before));
    let then = workload.mode(after);
    let mut change = Change {
        namespace: workload.namespace.to_owned(),
        workload: workload.name.to_owned(),
        before: today.clone(),
        after: then.clone(),
        callers: Vec::new(),
        unproven: Vec::new(),
        weaker: false,
    };
    let Some(then) = then else {
        // Policies with selectors, and no labels to match: unchanged policies cannot change it.
        if before.is_some_and(|before| same_policies(before, after, workload.namespace)) {
            return None;
        }
        change.unproven.push(
            "its mode is unknown: policies select pods by label, and its pods are not known".into(),
        );
        return Some(change);
    };
    let was = |port| {
        today
            .as_ref()
            .map_or(Mode::Permissive, |today| today.port(port))
    };
    let stricter = |port: u16| then.port(port) == Mode::Strict && was(port) != Mode::Strict;
    let modes: Vec<&Effective> = today.iter().chain([&then]).collect();
    let ports = ports_of(&modes);
    change.weaker = ports.iter().any(|port| then.port(*port) < was(*port));
    if !ports.iter().any(|port| stricter(*port)) {
        return change.weaker.then_some(change);
    }
    // Exempt callers too: a policy that closes their port refuses them, whatever the filter exempts.
    let counted = workload.callers.iter().copied();
    change.callers = counted
        .filter(|caller| question.counts(caller) && stricter(caller.destination_port))
        .collect();
    change.unproven = question.unproven(&workload.coverage);
    Some(change)
}

fn same_policies(before: &Policies, after: &Policies, namespace: &str) -> bool {
    let own = |policies: &Policies| -> Vec<String> {
        let relevant = policies.items().iter().filter(|item| {
            item.namespace == namespace || item.namespace == policies.root_namespace
        });
        relevant
            .map(|item| {
                format!(
                    "{:?}",
                    (
                        &item.namespace,
                        &item.name,
                        &item.selector,
                        item.mode,
                        &item.ports
                    )
                )
            })
            .collect()
    };
    own(before) == own(after)
}
