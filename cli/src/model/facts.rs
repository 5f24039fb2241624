//! Evidence and cluster joined: one entry per workload with a sidecar.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use super::evidence::{Caller, Coverage, Evidence};
use super::mode::{Effective, Labels, Policies};
use super::selector::common_labels;

/// All that is known of one workload.
#[derive(Debug, Clone)]
pub struct Workload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// How much of it reports.
    pub coverage: Coverage,
    /// Its callers without mutual TLS, of all remembered time.
    pub callers: Vec<&'a Caller>,
    /// The different label sets of its pods; unknown without the cluster's pods, or without running pods.
    pub labels: Option<Vec<Labels>>,
}

impl Workload<'_> {
    /// The weakest mode of its pods. Unknown labels and a policy with a selector: unknown.
    pub fn mode(&self, policies: &Policies) -> Option<Effective> {
        let modes = self.modes(policies)?.into_iter();
        modes.reduce(|one, other| one.weakest(&other))
    }

    /// The mode of each label set of its pods, in the order of `labels`; one for all where labels make no difference.
    pub fn modes(&self, policies: &Policies) -> Option<Vec<Effective>> {
        match &self.labels {
            Some(sets) => Some(
                sets.iter()
                    .map(|labels| policies.effective(self.namespace, labels))
                    .collect(),
            ),
            None if policies.has_selectors(self.namespace) => None,
            None => Some(vec![Effective {
                mode: policies.namespace_mode(self.namespace),
                ports: BTreeMap::new(),
            }]),
        }
    }

    /// Why the policies do not decide its mode: see [`Policies::contested`].
    pub fn contested(&self, policies: &Policies) -> Option<String> {
        match &self.labels {
            Some(sets) => sets
                .iter()
                .find_map(|labels| policies.contested(self.namespace, Some(labels))),
            None => policies.contested(self.namespace, None),
        }
    }

    /// The labels that all of its pods share.
    pub fn common_labels(&self) -> Option<Labels> {
        let mut sets = self.labels.as_ref()?.iter();
        let mut common = sets.next()?.clone();
        for labels in sets {
            common.retain(|key, value| labels.get(key) == Some(value));
        }
        Some(common)
    }
}

/// Every workload that evidence or the cluster knows to have a sidecar, by namespace and name.
pub fn workloads<'a>(evidence: &'a Evidence, cluster: Option<&'a Cluster>) -> Vec<Workload<'a>> {
    let mut found: BTreeMap<(&str, &str), Workload<'a>> = BTreeMap::new();
    let empty = |namespace: &'a str, name: &'a str| Workload {
        namespace,
        name,
        coverage: Coverage {
            namespace: namespace.into(),
            workload: name.into(),
            ..Coverage::default()
        },
        callers: Vec::new(),
        labels: None,
    };
    for coverage in &evidence.coverage {
        let key = (coverage.namespace.as_str(), coverage.workload.as_str());
        found
            .entry(key)
            .or_insert_with(|| empty(key.0, key.1))
            .coverage = coverage.clone();
    }
    let mut labels: BTreeMap<(&str, &str), BTreeSet<&Labels>> = BTreeMap::new();
    let pods = cluster.and_then(|cluster| cluster.pods.as_ref());
    let sidecars = pods
        .into_iter()
        .flatten()
        .filter(|pod| pod.sidecar && !pod.gateway);
    for pod in sidecars.filter(|pod| !pod.inactive) {
        let key = (pod.namespace.as_str(), pod.workload.as_str());
        if !pod.is_job() {
            found.entry(key).or_insert_with(|| empty(key.0, key.1));
        }
        labels.entry(key).or_default().insert(&pod.labels);
    }
    // Evidence of workloads that are gone is remembered, and not judged.
    for caller in &evidence.callers {
        let key = (
            caller.destination_namespace.as_str(),
            caller.destination_workload.as_str(),
        );
        if let Some(workload) = found.get_mut(&key) {
            workload.callers.push(caller);
        }
    }
    for (key, workload) in &mut found {
        workload.labels = labels
            .get(key)
            .map(|sets| sets.iter().map(|set| (*set).clone()).collect());
    }
    found.into_values().collect()
}

/// The labels of a workload's pods, for the Services in front of it.
pub fn labels_of(cluster: &Cluster, namespace: &str, workload: &str) -> Option<Labels> {
    let labels = common_labels(cluster.pods_of(namespace, workload)?);
    (!labels.is_empty()).then_some(labels)
}
