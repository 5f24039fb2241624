//! Whatever the mesh looks like: a plan weakens nothing, closes nothing on a caller, and its rollback restores today.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plainsight_cli::decide::gate::changes;
use plainsight_cli::decide::plan::plan;
use plainsight_cli::decide::readiness::{Counted, Question, namespaces};
use plainsight_cli::exit::Exit;
use plainsight_cli::model::cluster::{Cluster, Pod};
use plainsight_cli::model::evidence::{Caller, Coverage, Evidence, Peer, Strict, Traffic};
use plainsight_cli::model::facts::workloads;
use plainsight_cli::model::mode::{Labels, Mode, PeerAuthentication, Policies};
use proptest::prelude::*;

const NOW: i64 = 2_000_000_000;
const WORKLOADS: [&str; 3] = ["cart", "ledger", "web"];
const PORTS: [u16; 3] = [80, 9000, 9001];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn mode() -> impl Strategy<Value = Option<Mode>> {
    prop_oneof![
        Just(None),
        Just(Some(Mode::Disable)),
        Just(Some(Mode::Permissive)),
        Just(Some(Mode::Strict))
    ]
}

fn policy() -> impl Strategy<Value = PeerAuthentication> {
    let ports =
        proptest::collection::btree_map(proptest::sample::select(PORTS.to_vec()), mode(), 0..3);
    let selector = prop_oneof![
        2 => Just(None),
        3 => proptest::sample::select(WORKLOADS.to_vec()).prop_map(|name| Some(("app", name))),
        1 => Just(Some(("team", "money"))),
    ];
    (any::<bool>(), 0..5i64, 0..6u8, selector, mode(), ports).prop_map(
        |(root, age, name, selector, mode, ports)| {
            let selector: Option<(&str, &str)> = selector;
            PeerAuthentication {
                namespace: if root && selector.is_none() {
                    "istio-system"
                } else {
                    "shop"
                }
                .into(),
                name: format!("p{name}-{age}"),
                created: Some(at(1_000_000 + age)),
                selector: selector
                    .map(|(key, value)| Labels::from([(key.into(), value.into())]))
                    .unwrap_or_default(),
                mode,
                ports,
                labels: Labels::new(),
                annotations: Labels::new(),
            }
        },
    )
}

fn caller() -> impl Strategy<Value = Caller> {
    (
        proptest::sample::select(WORKLOADS.to_vec()),
        proptest::sample::select(PORTS.to_vec()),
        0..3_000_000i64,
        0..3u8,
        any::<bool>(),
        prop_oneof![Just(Traffic::App), Just(Traffic::Probe)],
    )
        .prop_map(|(workload, port, age, name, exempt, traffic)| Caller {
            name: format!("batch/job-{name}"),
            kind: "CronJob".into(),
            namespace: Some("batch".into()),
            source_ip: None,
            source_name: None,
            peer: Peer::Plaintext,
            strict: if exempt {
                Strict::Exempt
            } else {
                Strict::Reject
            },
            traffic,
            destination_namespace: "shop".into(),
            destination_workload: workload.into(),
            destination_port: port,
            last_seen: at(NOW - age),
            first_seen: None,
            active_hours: None,
        })
}

fn coverage(workload: &str, full: bool, days: i64) -> Coverage {
    Coverage {
        namespace: "shop".into(),
        workload: workload.into(),
        pods: Some(2),
        pods_reporting: Some(if full { 2 } else { 1 }),
        reporting_since: full.then(|| at(NOW - days * 86_400)),
    }
}

/// A pod of a workload. The second one may belong to another team: a rollout that changes labels.
fn pod(workload: &str, second: bool) -> Pod {
    let team = if (workload == "web") != second {
        "front"
    } else {
        "money"
    };
    Pod {
        namespace: "shop".into(),
        name: format!("{workload}-{}", u8::from(second)),
        workload_kind: "Deployment".into(),
        workload: workload.into(),
        labels: Labels::from([
            ("app".into(), workload.into()),
            ("team".into(), team.into()),
        ]),
        annotations: BTreeMap::new(),
        sidecar: true,
        gateway: false,
        host_network: false,
        inactive: false,
    }
}

fn mesh() -> impl Strategy<Value = (Evidence, Cluster)> {
    let policies = proptest::collection::vec(policy(), 0..6);
    let callers = proptest::collection::vec(caller(), 0..6);
    let coverages = proptest::collection::vec(
        (
            proptest::bool::weighted(0.85),
            prop_oneof![4 => Just(30i64), 1 => Just(3)],
        ),
        3,
    );
    let mixed = proptest::collection::vec(proptest::bool::weighted(0.2), 3);
    (policies, callers, coverages, mixed).prop_map(|(mut policies, callers, coverages, mixed)| {
        policies.sort_by(|one, other| {
            (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name))
        });
        policies
            .dedup_by(|one, other| (&one.namespace, &one.name) == (&other.namespace, &other.name));
        let evidence = Evidence {
            source: "test".into(),
            queried_at: at(NOW),
            cluster: None,
            callers,
            coverage: WORKLOADS
                .iter()
                .zip(coverages)
                .map(|(name, (full, days))| coverage(name, full, days))
                .collect(),
            silent_pods: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        };
        let cluster = Cluster {
            source: "test".into(),
            root_namespace: "istio-system".into(),
            policies,
            pods: Some(
                WORKLOADS
                    .iter()
                    .zip(mixed)
                    .flat_map(|(name, mixed)| [pod(name, false), pod(name, mixed)])
                    .collect(),
            ),
            namespaces: None,
            services: None,
            destination_rules: None,
            complete: true,
            notes: Vec::new(),
        };
        (evidence, cluster)
    })
}

fn question(max_exempt: usize) -> Question {
    Question {
        window: "14d".parse().unwrap(),
        counted: Counted::All,
        now: at(NOW),
        max_exempt,
        problems: Vec::new(),
    }
}

/// Every mode that any pod's port can have: port 0 stands for those that no policy names.
fn modes(policies: &Policies, pods: &[Pod]) -> BTreeMap<(String, usize, u16), Mode> {
    let mut modes = BTreeMap::new();
    for (index, pod) in pods.iter().enumerate() {
        let effective = policies.effective("shop", &pod.labels);
        for port in PORTS.into_iter().chain([0]) {
            modes.insert((pod.workload.clone(), index, port), effective.port(port));
        }
    }
    modes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_is_safe((evidence, cluster) in mesh(), max_exempt in 0..3usize) {
        let question = question(max_exempt);
        let policies = cluster.policies();
        let facts = workloads(&evidence, Some(&cluster));
        let answers = namespaces(facts, Some(&policies), &question);
        let plan = plan(&answers[0], &policies, cluster.pods.as_ref().unwrap(), max_exempt);
        // The plan's own check must never be what stops it.
        let plan = plan.map_err(TestCaseError::fail)?;
        let pods = cluster.pods.as_deref().unwrap();
        let modes = |policies: &Policies| modes(policies, pods);
        let before = modes(&policies);
        let mut applied = Vec::new();
        for step in &plan.steps {
            prop_assert_eq!(&step.policy.namespace, "shop");
            let previous = modes(&policies.with(&applied));
            applied.push(step.policy.clone());
            let now = modes(&policies.with(&applied));
            for (port, mode) in &now {
                prop_assert!(*mode >= previous[port], "{:?} weaker after {}", port, step.policy.name);
            }
        }
        let after = policies.with(&applied);
        let now = modes(&after);
        // No caller of the window, exempt ones included, meets a port that the plan closed.
        for caller in &evidence.callers {
            let recent = caller.last_seen > question.window.before(question.now);
            let own = now.iter().filter(|((workload, _, port), _)| *workload == caller.destination_workload && *port == caller.destination_port);
            for (port, mode) in own {
                prop_assert!(!(recent && *mode == Mode::Strict && before[port] != Mode::Strict), "{} refused", caller.name);
            }
        }
        // Nothing closes without proof; the gate agrees.
        let gate = changes(workloads(&evidence, Some(&cluster)), Some(&policies), &after, &question);
        for change in &gate {
            prop_assert_eq!(change.exit(), Exit::Ready, "{} {:?}", change.workload, change.unproven);
        }
        // At most --max-exempt ports per workload, each with the callers that need it.
        for name in WORKLOADS {
            let own = plan.exemptions.iter().filter(|exemption| exemption.workload == name);
            prop_assert!(own.clone().count() <= max_exempt);
            prop_assert!(own.clone().all(|exemption| !exemption.callers.is_empty()));
        }
        // The rollback restores every mode, in the same objects.
        let back: Vec<_> = plan.steps.iter().rev().map(|step| step.rollback.clone()).collect();
        prop_assert_eq!(modes(&after.with(&back)), before);
        // A plan that leaves nothing out ends with all of it STRICT but for exceptions and ports that somebody opened before.
        if plan.left_out.is_empty() {
            prop_assert!(now.iter().all(|((_, _, port), mode)| *port != 0 || *mode == Mode::Strict));
        }
    }
}
