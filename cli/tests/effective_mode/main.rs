//! The effective mode of a workload and port, on a table that `make test-cluster` holds against a real istiod.

use jiff::Timestamp;
use plainsight_cli::model::mode::{Labels, Mode, PeerAuthentication, Policies};

mod table;

use Mode::{Disable, Permissive, Strict};
use table::At::{Elsewhere, Namespace, Other, Root, RootSelector, Workload};
use table::{Row, TABLE};

const ROOT: &str = "istio-system";

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
