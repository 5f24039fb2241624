//! Combinations of policies, and the modes that they make.

use plainsight_cli::model::mode::Mode;

use At::{Elsewhere, Namespace, Other, Root, RootSelector, Workload};
use Mode::{Disable, Permissive, Strict};

/// Where a policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
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

/// A policy: where, how old (a greater number is younger), its mode, its port levels.
pub type Row = (At, i64, Option<Mode>, &'static [(u16, Option<Mode>)]);

/// The mode of port 80, which no policy names unless it says so, and of port 9000.
pub const TABLE: &[(&[Row], Mode, Mode)] = &[
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
