//! The smallest selector that matches one workload's pods and no other's.

use super::cluster::Pod;
use super::mode::Labels;

/// Labels that differ between pods or revisions of one workload, or belong to a controller.
const VOLATILE: [&str; 8] = [
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "service.istio.io/canonical-revision",
    "istio.io/rev",
    "sidecar.istio.io/inject",
    "helm.sh/chart",
    "app.kubernetes.io/managed-by",
];

/// `pod-template-hash`, `controller-revision-hash`, Argo's `rollouts-pod-template-hash`; zones come from the node.
fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key)
        || key.ends_with("-hash")
        || key.starts_with("topology.")
        || key.starts_with("security.istio.io/")
}

/// Labels that name a workload, best first; any other stable label comes after them, versions last.
const PREFERRED: [&str; 4] = [
    "app.kubernetes.io/name",
    "app",
    "k8s-app",
    "app.kubernetes.io/component",
];
const VERSIONS: [&str; 2] = ["version", "app.kubernetes.io/version"];

/// No more labels than this in one selector.
const MAX_LABELS: usize = 3;

/// The labels that all pods share.
pub fn common_labels<'a>(mut pods: impl Iterator<Item = &'a Pod>) -> Labels {
    let Some(first) = pods.next() else {
        return Labels::new();
    };
    let mut common = first.labels.clone();
    for pod in pods {
        common.retain(|key, value| pod.labels.get(key) == Some(value));
    }
    common
}

/// A selector for the workload's pods that matches no pod of another workload in the namespace, if there is one.
pub fn selector(namespace: &str, workload: &str, pods: &[Pod]) -> Option<Labels> {
    let (own, others): (Vec<&Pod>, Vec<&Pod>) = pods
        .iter()
        .filter(|pod| pod.namespace == namespace)
        .partition(|pod| pod.workload == workload && !pod.inactive);
    let others: Vec<&Pod> = others
        .into_iter()
        .filter(|pod| pod.workload != workload)
        .collect();
    let common = common_labels(own.into_iter());
    let mut candidates: Vec<(&String, &String)> =
        common.iter().filter(|(key, _)| !is_volatile(key)).collect();
    candidates.sort_by_key(|(key, _)| {
        let preferred = PREFERRED
            .iter()
            .position(|name| name == key)
            .unwrap_or(PREFERRED.len());
        (VERSIONS.contains(&key.as_str()), preferred, key.len())
    });
    // A version alone names no workload: the next one with the same version would be selected too.
    let unique = |chosen: &[(&String, &String)]| {
        let named = chosen
            .iter()
            .any(|(key, _)| !VERSIONS.contains(&key.as_str()));
        named
            && !others.iter().any(|pod| {
                chosen
                    .iter()
                    .all(|(key, value)| pod.labels.get(*key) == Some(*value))
            })
    };
    (1..=MAX_LABELS)
        .find_map(|size| combination(&candidates, size, &mut Vec::new(), &unique))
        .map(|chosen| {
            chosen
                .into_iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        })
}

/// The first combination of `size` candidates that passes.
fn combination<'a>(
    candidates: &[(&'a String, &'a String)],
    size: usize,
    chosen: &mut Vec<(&'a String, &'a String)>,
    passes: &impl Fn(&[(&String, &String)]) -> bool,
) -> Option<Vec<(&'a String, &'a String)>> {
    if size == 0 {
        return passes(chosen).then(|| chosen.clone());
    }
    candidates
        .iter()
        .enumerate()
        .find_map(|(index, candidate)| {
            chosen.push(*candidate);
            let found = combination(
                candidates.get(index + 1..).unwrap_or_default(),
                size - 1,
                chosen,
                passes,
            );
            chosen.pop();
            found
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(workload: &str, name: &str, labels: &[(&str, &str)]) -> Pod {
        Pod {
            namespace: "shop".into(),
            name: name.into(),
            workload_kind: "Deployment".into(),
            workload: workload.into(),
            labels: labels
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            annotations: Labels::new(),
            sidecar: true,
            gateway: false,
            host_network: false,
            inactive: false,
        }
    }

    fn keys(selector: Option<Labels>) -> Option<Vec<String>> {
        selector.map(|labels| labels.into_keys().collect())
    }

    #[test]
    fn one_label_is_enough_where_it_is_unique() {
        let pods = [
            pod(
                "cart",
                "cart-1",
                &[
                    ("app", "cart"),
                    ("version", "v1"),
                    ("pod-template-hash", "1"),
                ],
            ),
            pod(
                "cart",
                "cart-2",
                &[
                    ("app", "cart"),
                    ("version", "v1"),
                    ("pod-template-hash", "2"),
                ],
            ),
            pod("web", "web-1", &[("app", "web"), ("version", "v1")]),
        ];
        assert_eq!(
            keys(selector("shop", "cart", &pods)),
            Some(vec!["app".into()])
        );
    }

    #[test]
    fn versions_are_used_only_to_tell_two_workloads_apart() {
        let pods = [
            pod("cart-v1", "a", &[("app", "cart"), ("version", "v1")]),
            pod("cart-v2", "b", &[("app", "cart"), ("version", "v2")]),
            pod("web", "c", &[("app", "web"), ("version", "v1")]),
        ];
        for pods in [&pods[..], &pods[..2]] {
            assert_eq!(
                keys(selector("shop", "cart-v1", pods)),
                Some(vec!["app".into(), "version".into()])
            );
        }
    }

    #[test]
    fn labels_that_change_with_a_rollout_or_a_node_select_nothing() {
        for key in [
            "rollouts-pod-template-hash",
            "istio.io/rev",
            "topology.kubernetes.io/zone",
        ] {
            let pods = [
                pod("a", "a", &[("app", "x"), (key, "1")]),
                pod("b", "b", &[("app", "x"), (key, "2")]),
            ];
            assert_eq!(selector("shop", "a", &pods), None, "{key}");
        }
    }

    #[test]
    fn there_is_none_where_labels_are_the_same_or_missing() {
        let pods = [
            pod("a", "a", &[("app", "x"), ("pod-template-hash", "1")]),
            pod("b", "b", &[("app", "x"), ("pod-template-hash", "2")]),
            pod("c", "c", &[]),
        ];
        assert_eq!(selector("shop", "a", &pods), None);
        assert_eq!(selector("shop", "c", &pods), None);
    }
}
