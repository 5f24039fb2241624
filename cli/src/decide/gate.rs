//! May policies be applied now? Asked for exactly the workloads and ports that would become stricter.

use std::collections::BTreeSet;

use crate::decide::readiness::Question;
use crate::exit::Exit;
use crate::model::cluster::{Cluster, Pod};
use crate::model::evidence::Caller;
use crate::model::facts::Workload;
use crate::model::mode::{Effective, Mode, PeerAuthentication, Policies};

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
    let mut change = Change {
        namespace: workload.namespace.to_owned(),
        workload: workload.name.to_owned(),
        before: before.and_then(|before| workload.mode(before)),
        after: workload.mode(after),
        callers: Vec::new(),
        unproven: Vec::new(),
        weaker: false,
    };
    let today = before.and_then(|before| workload.modes(before));
    let Some(then) = workload.modes(after) else {
        // Policies with selectors, and no labels to match: unchanged policies cannot change it.
        if before.is_some_and(|before| same_policies(before, after, workload.namespace)) {
            return None;
        }
        change.unproven.push(
            "its mode is unknown: policies select pods by label, and its pods are not known".into(),
        );
        return Some(change);
    };
    if let Some(contested) = workload.contested(after)
        && !before.is_some_and(|before| same_policies(before, after, workload.namespace))
    {
        change.after = None;
        change.unproven.push(contested);
    }
    // Pods of one workload may differ: each label set is compared with itself.
    let was = |set: usize, port| {
        let mode = today.as_ref().and_then(|today| today.get(set));
        mode.map_or(Mode::Permissive, |mode| mode.port(port))
    };
    let compare = |port: u16, differs: fn(Mode, Mode) -> bool| {
        let mut sets = then.iter().enumerate();
        sets.any(|(set, mode)| differs(was(set, port), mode.port(port)))
    };
    let stricter = |port| {
        compare(port, |was, then| {
            then == Mode::Strict && was != Mode::Strict
        })
    };
    let modes: Vec<&Effective> = today.iter().flatten().chain(&then).collect();
    let ports = ports_of(&modes);
    change.weaker = ports
        .iter()
        .any(|port| compare(*port, |was, then| then < was));
    if ports.iter().any(|port| stricter(*port)) {
        // Exempt callers too: a policy that closes their port refuses them, whatever the filter exempts.
        let counted = workload.callers.iter().copied();
        change.callers = counted
            .filter(|caller| question.counts(caller) && stricter(caller.destination_port))
            .collect();
        change
            .unproven
            .extend(question.unproven(&workload.coverage));
    }
    let changes =
        change.weaker || change.exit() != Exit::Ready || ports.iter().any(|port| stricter(*port));
    changes.then_some(change)
}

/// What the answer cannot rest on, policy by policy: unknown targets, and modes that depend on policies that
/// were not read. Policies that are applied already, and those that close nothing, raise no doubt.
pub fn doubts(
    applied: &[PeerAuthentication],
    before: Option<&Policies>,
    workloads: &[Workload<'_>],
    cluster: Option<&Cluster>,
    root_namespace: &str,
) -> Vec<String> {
    let mut doubts = Vec::new();
    for policy in applied {
        let closes = |mode: Option<Mode>| mode.is_none_or(|mode| mode == Mode::Strict);
        let unchanged = before.is_some_and(|before| {
            let mut items = before.items().iter();
            items.any(|item| signature(item) == signature(policy))
        });
        if unchanged || !(closes(policy.mode) || policy.ports.values().any(|mode| closes(*mode))) {
            continue;
        }
        let doubt = if policy.namespace == root_namespace {
            workloads
                .is_empty()
                .then(|| "no workload with a sidecar is known".into())
        } else {
            unknown_target(policy, workloads, cluster)
                .or_else(|| inherits_unknown(policy, applied, before, cluster, root_namespace))
        };
        doubts.extend(doubt.map(|doubt| format!("{}: {doubt}", policy.id())));
    }
    doubts
}

/// Whose mode a policy sets: unknown, although such pods may exist.
fn unknown_target(
    policy: &PeerAuthentication,
    workloads: &[Workload<'_>],
    cluster: Option<&Cluster>,
) -> Option<String> {
    let namespace = policy.namespace.as_str();
    let known = workloads
        .iter()
        .any(|workload| workload.namespace == namespace);
    let pods: Option<Vec<&Pod>> = cluster
        .and_then(|cluster| cluster.pods.as_ref())
        .map(|pods| {
            pods.iter()
                .filter(|pod| pod.namespace == namespace)
                .collect()
        });
    // The cluster's own list is complete. Files that show no pod of the namespace prove nothing about it.
    let complete = cluster.is_some_and(|cluster| cluster.complete);
    let pods = pods.filter(|pods| complete || !pods.is_empty());
    let Some(pods) = pods else {
        return (!known)
            .then(|| format!("no workload with a sidecar is known in namespace {namespace}"));
    };
    if !policy.has_selector() {
        let bare = !pods.iter().any(|pod| pod.sidecar && !pod.gateway);
        return (!known && !bare)
            .then(|| format!("no workload with a sidecar is known in namespace {namespace}"));
    }
    let selected = pods.iter().any(|pod| policy.selects(&pod.labels));
    (!selected).then(|| {
        let labels: Vec<String> = policy
            .selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(
            "its selector {} matches no pod in namespace {namespace}",
            labels.join(",")
        )
    })
}

/// An UNSET mode that comes from a policy which was not read.
fn inherits_unknown(
    policy: &PeerAuthentication,
    applied: &[PeerAuthentication],
    before: Option<&Policies>,
    cluster: Option<&Cluster>,
    root_namespace: &str,
) -> Option<String> {
    if policy.mode.is_some() || cluster.is_some_and(|cluster| cluster.complete) {
        return None;
    }
    let today = before.map(Policies::items).unwrap_or_default();
    let decided = today.iter().chain(applied).any(|item| {
        let level = item.namespace == policy.namespace || item.namespace == root_namespace;
        level && !item.has_selector() && item.mode.is_some() && item.id() != policy.id()
    });
    (!decided).then(|| {
        format!(
            "its mode is UNSET, and no policy of {root_namespace} that it inherits from is known"
        )
    })
}

/// What a policy does, without its age and its annotations.
fn signature(policy: &PeerAuthentication) -> impl PartialEq + use<> {
    let policy = policy.clone();
    (
        policy.namespace,
        policy.name,
        policy.selector,
        policy.mode,
        policy.ports,
    )
}

fn same_policies(before: &Policies, after: &Policies, namespace: &str) -> bool {
    let own = |policies: &Policies| -> Vec<_> {
        let relevant = policies.items().iter().filter(|item| {
            item.namespace == namespace || item.namespace == policies.root_namespace
        });
        relevant.map(signature).collect()
    };
    own(before) == own(after)
}
