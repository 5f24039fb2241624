//! The effective mode of a workload and port, as istiod decides it, on a table.

use jiff::Timestamp;
use plainsight_cli::model::mode::{Labels, Mode, PeerAuthentication, Policies};

use Mode::{Disable, Permissive, Strict};

const ROOT: &str = "istio-system";

/// Where a policy stands.
#[derive(Clone, Copy)]
enum At {
    Root,
    Namespace,
    Workload,
    /// Selects another workload of the namespace.
    Other,
    /// Has a selector, in the root namespace.
    RootSelector,
    /// Stands in another namespace.
    Elsewhere,
}

use At::{Elsewhere, Namespace, Other, Root, RootSelector, Workload};

/// A policy: where, how old (a greater number is younger), its mode, its port levels.
type Row = (At, i64, Option<Mode>, &'static [(u16, Option<Mode>)]);

fn policy(index: usize, (at, age, mode, ports): Row) -> PeerAuthentication {
    let (namespace, selector) = match at {
        Root => (ROOT, None),
        Namespace => ("shop", None),
        Workload => ("shop", Some("cart")),
        Other => ("shop", Some("web")),
        RootSelector => (ROOT, Some("cart")),
        Elsewhere => ("hr", None),
    };
    PeerAuthentication {
        namespace: namespace.into(),
        name: format!("policy-{index}"),
        created: Some(Timestamp::from_second(1_000_000 + age).unwrap()),
        selector: selector
            .map(|app| Labels::from([("app".into(), app.into())]))
            .unwrap_or_default(),
        mode,
        ports: ports.iter().copied().collect(),
        labels: Labels::new(),
        annotations: Labels::new(),
    }
}

/// The mode of port 80, which no policy names unless it says so, and of port 9000.
const TABLE: &[(&[Row], Mode, Mode)] = &[
    // Nothing: PERMISSIVE.
    (&[], Permissive, Permissive),
    // One level.
    (&[(Root, 1, Some(Strict), &[])], Strict, Strict),
    (&[(Root, 1, Some(Disable), &[])], Disable, Disable),
    (&[(Root, 1, None, &[])], Permissive, Permissive),
    (&[(Namespace, 1, Some(Strict), &[])], Strict, Strict),
    (&[(Namespace, 1, None, &[])], Permissive, Permissive),
    (&[(Workload, 1, Some(Strict), &[])], Strict, Strict),
    (&[(Workload, 1, None, &[])], Permissive, Permissive),
    // Workload over namespace over root, in both directions.
    (
        &[
            (Root, 1, Some(Strict), &[]),
            (Namespace, 2, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    (
        &[
            (Root, 1, Some(Permissive), &[]),
            (Namespace, 2, Some(Strict), &[]),
        ],
        Strict,
        Strict,
    ),
    (
        &[
            (Namespace, 1, Some(Strict), &[]),
            (Workload, 2, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    (
        &[
            (Namespace, 1, Some(Permissive), &[]),
            (Workload, 2, Some(Strict), &[]),
        ],
        Strict,
        Strict,
    ),
    (
        &[
            (Root, 1, Some(Strict), &[]),
            (Workload, 2, Some(Disable), &[]),
        ],
        Disable,
        Disable,
    ),
    (
        &[
            (Root, 1, Some(Disable), &[]),
            (Namespace, 1, Some(Strict), &[]),
            (Workload, 1, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    // UNSET inherits.
    (
        &[(Root, 1, Some(Strict), &[]), (Namespace, 2, None, &[])],
        Strict,
        Strict,
    ),
    (
        &[(Root, 1, Some(Strict), &[]), (Workload, 2, None, &[])],
        Strict,
        Strict,
    ),
    (
        &[(Namespace, 1, Some(Strict), &[]), (Workload, 2, None, &[])],
        Strict,
        Strict,
    ),
    (
        &[
            (Root, 1, Some(Strict), &[]),
            (Namespace, 2, None, &[]),
            (Workload, 3, None, &[]),
        ],
        Strict,
        Strict,
    ),
    (
        &[(Root, 1, None, &[]), (Namespace, 2, None, &[])],
        Permissive,
        Permissive,
    ),
    // The oldest of several counts; a younger one is ignored whole.
    (
        &[
            (Namespace, 1, Some(Strict), &[]),
            (Namespace, 2, Some(Permissive), &[]),
        ],
        Strict,
        Strict,
    ),
    (
        &[
            (Namespace, 2, Some(Strict), &[]),
            (Namespace, 1, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    (
        &[
            (Root, 2, Some(Permissive), &[]),
            (Root, 1, Some(Strict), &[]),
        ],
        Strict,
        Strict,
    ),
    (
        &[
            (Workload, 2, Some(Strict), &[]),
            (Workload, 1, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    (
        &[
            (Root, 1, Some(Strict), &[]),
            (Namespace, 2, None, &[]),
            (Namespace, 3, Some(Permissive), &[]),
        ],
        Strict,
        Strict,
    ),
    // The same age: the name decides.
    (
        &[
            (Namespace, 1, Some(Strict), &[]),
            (Namespace, 1, Some(Permissive), &[]),
        ],
        Strict,
        Strict,
    ),
    // Port level over workload; UNSET at the port inherits from the workload.
    (
        &[(Workload, 1, Some(Strict), &[(9000, Some(Permissive))])],
        Strict,
        Permissive,
    ),
    (
        &[(Workload, 1, Some(Permissive), &[(9000, Some(Strict))])],
        Permissive,
        Strict,
    ),
    (
        &[(Workload, 1, Some(Strict), &[(9000, Some(Disable))])],
        Strict,
        Disable,
    ),
    (
        &[(Workload, 1, Some(Strict), &[(9000, None)])],
        Strict,
        Strict,
    ),
    (
        &[
            (Namespace, 1, Some(Strict), &[]),
            (Workload, 2, None, &[(9000, Some(Permissive))]),
        ],
        Strict,
        Permissive,
    ),
    (
        &[
            (Namespace, 1, Some(Strict), &[]),
            (Workload, 2, None, &[(9000, None)]),
        ],
        Strict,
        Strict,
    ),
    (
        &[
            (Workload, 1, Some(Strict), &[]),
            (Workload, 2, None, &[(9000, Some(Permissive))]),
        ],
        Strict,
        Strict,
    ),
    // Port levels count only beside a selector, outside the root namespace.
    (
        &[(Namespace, 1, Some(Strict), &[(9000, Some(Permissive))])],
        Strict,
        Strict,
    ),
    (
        &[(Root, 1, Some(Strict), &[(9000, Some(Permissive))])],
        Strict,
        Strict,
    ),
    // Policies for somebody else.
    (&[(Other, 1, Some(Strict), &[])], Permissive, Permissive),
    (&[(Elsewhere, 1, Some(Strict), &[])], Permissive, Permissive),
    (
        &[(RootSelector, 1, Some(Strict), &[(9000, Some(Strict))])],
        Permissive,
        Permissive,
    ),
    (
        &[
            (Other, 1, Some(Strict), &[]),
            (Workload, 2, Some(Permissive), &[]),
        ],
        Permissive,
        Permissive,
    ),
    (
        &[
            (RootSelector, 1, Some(Disable), &[]),
            (Root, 2, Some(Strict), &[]),
        ],
        Strict,
        Strict,
    ),
];

#[test]
fn the_mode_is_the_one_that_istiod_computes() {
    assert!(TABLE.len() >= 30, "{} combinations", TABLE.len());
    let labels = Labels::from([
        ("app".into(), "cart".into()),
        ("version".into(), "v1".into()),
    ]);
    for (number, (rows, other, special)) in TABLE.iter().enumerate() {
        let policies = rows
            .iter()
            .enumerate()
            .map(|(index, row)| policy(index, *row));
        let policies = Policies::new(ROOT, policies.collect());
        let effective = policies.effective("shop", &labels);
        assert_eq!(
            (effective.port(80), effective.port(9000)),
            (*other, *special),
            "row {number}"
        );
    }
}

#[test]
fn in_the_root_namespace_itself_only_the_policy_of_the_mesh_counts() {
    let labels = Labels::from([("app".into(), "cart".into())]);
    let rows = [
        (RootSelector, 1, Some(Strict), &[(9000, Some(Disable))][..]),
        (Root, 2, Some(Permissive), &[]),
    ];
    let policies = rows
        .into_iter()
        .enumerate()
        .map(|(index, row)| policy(index, row))
        .collect();
    let effective = Policies::new(ROOT, policies).effective(ROOT, &labels);
    assert_eq!(
        (effective.port(80), effective.port(9000)),
        (Permissive, Permissive)
    );
}

#[test]
fn a_policy_that_is_applied_again_keeps_its_age_and_a_new_one_is_the_youngest() {
    let old = policy(0, (Namespace, 5, Some(Permissive), &[]));
    let before = Policies::new(ROOT, vec![old.clone()]);
    let changed = PeerAuthentication {
        mode: Some(Strict),
        created: None,
        ..old.clone()
    };
    let younger = PeerAuthentication {
        name: "another".into(),
        mode: Some(Disable),
        ..old
    };
    let after = before.with(&[changed, younger]);
    assert_eq!(after.namespace_mode("shop"), Strict);
}
