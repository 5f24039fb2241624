//! What is unknown, partial or ambiguous never passes: the pure decisions on facts made to mislead them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plainsight_cli::decide::gate::{Change, changes, doubts};
use plainsight_cli::decide::readiness::{Counted, Decision, Question, namespaces};
use plainsight_cli::decide::verify::verify;
use plainsight_cli::exit::Exit;
use plainsight_cli::model::aftermath::{Aftermath, Flow};
use plainsight_cli::model::cluster::{Cluster, Pod};
use plainsight_cli::model::evidence::{Caller, Coverage, Evidence, Peer, Strict, Traffic};
use plainsight_cli::model::facts::workloads;
use plainsight_cli::model::mode::{Labels, Mode, PeerAuthentication, Policies};

const NOW: i64 = 2_000_000_000;
const ROOT: &str = "istio-system";

fn at(ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - ago).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn pod(namespace: &str, workload: &str, more: &[(&str, &str)]) -> Pod {
    let mut labels = labels(more);
    labels.insert("app".into(), workload.into());
    Pod {
        namespace: namespace.into(),
        name: format!("{workload}-{}", labels.len()),
        workload_kind: "Deployment".into(),
        workload: workload.into(),
        labels,
        annotations: BTreeMap::new(),
        sidecar: true,
        gateway: false,
        host_network: false,
        inactive: false,
    }
}

fn policy(namespace: &str, name: &str, mode: Option<Mode>) -> PeerAuthentication {
    PeerAuthentication {
        namespace: namespace.into(),
        name: name.into(),
        created: None,
        selector: Labels::new(),
        mode,
        ports: BTreeMap::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
    }
}

fn selecting(mut policy: PeerAuthentication, pairs: &[(&str, &str)]) -> PeerAuthentication {
    policy.selector = labels(pairs);
    policy
}

/// A policy that has been in the cluster for a while.
fn existing(mut policy: PeerAuthentication) -> PeerAuthentication {
    policy.created = Some(at(1_000_000));
    policy
}

fn caller(workload: &str, port: u16, ago: i64) -> Caller {
    Caller {
        name: "batch/nightly".into(),
        kind: "CronJob".into(),
        namespace: Some("batch".into()),
        source_ip: None,
        source_name: None,
        peer: Peer::Plaintext,
        strict: Strict::Reject,
        traffic: Traffic::App,
        destination_namespace: "shop".into(),
        destination_workload: workload.into(),
        destination_port: port,
        last_seen: at(ago),
        first_seen: None,
        active_hours: None,
    }
}

fn evidence(workloads: &[&str], callers: Vec<Caller>) -> Evidence {
    let coverage = |name: &&str| Coverage {
        namespace: "shop".into(),
        workload: (*name).into(),
        pods: Some(2),
        pods_reporting: Some(2),
        reporting_since: Some(at(30 * 86_400)),
    };
    Evidence {
        source: "test".into(),
        queried_at: at(0),
        cluster: None,
        callers,
        coverage: workloads.iter().map(coverage).collect(),
        silent_pods: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

fn cluster(policies: Vec<PeerAuthentication>, pods: Vec<Pod>) -> Cluster {
    Cluster {
        source: "test".into(),
        root_namespace: ROOT.into(),
        policies,
        pods: Some(pods),
        namespaces: None,
        services: None,
        destination_rules: None,
        complete: true,
        notes: Vec::new(),
    }
}

fn question() -> Question {
    Question {
        window: "14d".parse().unwrap(),
        counted: Counted::All,
        now: at(0),
        max_exempt: 2,
        problems: Vec::new(),
    }
}

/// The gate's exit code, with what it gives as reasons.
fn gate(
    evidence: &Evidence,
    cluster: Option<&Cluster>,
    applied: &[PeerAuthentication],
) -> (Exit, Vec<String>) {
    let before = cluster.map(Cluster::policies);
    let none = Policies::new(ROOT, Vec::new());
    let after = before.as_ref().unwrap_or(&none).with(applied);
    let facts = workloads(evidence, cluster);
    let mut reasons = doubts(applied, before.as_ref(), &facts, cluster, ROOT);
    let doubted = if reasons.is_empty() {
        Exit::Ready
    } else {
        Exit::NotProven
    };
    let changes = changes(facts, before.as_ref(), &after, &question());
    let exit = changes.iter().map(Change::exit).fold(doubted, Exit::and);
    reasons.extend(changes.into_iter().flat_map(|change| change.unproven));
    (exit, reasons)
}

#[test]
fn the_gate_sees_pods_that_close_beside_pods_of_the_same_workload_that_stay_open() {
    let evidence = evidence(&["cart"], vec![caller("cart", 80, 60)]);
    let pods = vec![
        pod("shop", "cart", &[("version", "v1")]),
        pod("shop", "cart", &[("version", "v2"), ("canary", "yes")]),
    ];
    let cluster = cluster(Vec::new(), pods);
    let canary = selecting(
        policy("shop", "canary", Some(Mode::Strict)),
        &[("canary", "yes")],
    );
    assert_eq!(gate(&evidence, Some(&cluster), &[canary]).0, Exit::Callers);
}

#[test]
fn two_new_policies_that_compete_are_not_judged_by_their_names() {
    let evidence = evidence(&["cart"], vec![caller("cart", 80, 60)]);
    let none = cluster(Vec::new(), vec![pod("shop", "cart", &[])]);
    let pair = [
        policy("shop", "a", Some(Mode::Permissive)),
        policy("shop", "b", Some(Mode::Strict)),
    ];
    let (exit, reasons) = gate(&evidence, Some(&none), &pair);
    assert_eq!(exit, Exit::NotProven);
    assert!(
        reasons[0].contains("shop/a and shop/b compete"),
        "{reasons:?}"
    );
    // With an older one in the cluster both are without effect.
    let older = cluster(
        vec![existing(policy("shop", "z", Some(Mode::Permissive)))],
        vec![pod("shop", "cart", &[])],
    );
    assert_eq!(gate(&evidence, Some(&older), &pair).0, Exit::Ready);
    // A workload's own policy decides, whatever competes above it.
    let own = selecting(
        policy("shop", "own", Some(Mode::Permissive)),
        &[("app", "cart")],
    );
    let own = cluster(vec![existing(own)], vec![pod("shop", "cart", &[])]);
    assert_eq!(gate(&evidence, Some(&own), &pair).0, Exit::Ready);
}

#[test]
fn today_is_not_known_where_policies_of_files_compete() {
    let evidence = evidence(&["cart"], Vec::new());
    let pair = vec![
        policy("shop", "a", Some(Mode::Strict)),
        policy("shop", "b", Some(Mode::Permissive)),
    ];
    let files = cluster(pair, vec![pod("shop", "cart", &[])]);
    let answers = namespaces(
        workloads(&evidence, Some(&files)),
        Some(&files.policies()),
        &question(),
    );
    assert_eq!(answers[0].decision, Decision::NotYet);
    assert_eq!(answers[0].exit(), Exit::NotProven);
}

#[test]
fn a_selector_that_matches_nothing_is_not_proven() {
    let evidence = evidence(&["cart"], vec![caller("cart", 80, 60)]);
    let cluster = cluster(Vec::new(), vec![pod("shop", "cart", &[])]);
    let typo = |mode| selecting(policy("shop", "cart", mode), &[("app", "kart")]);
    let (exit, reasons) = gate(&evidence, Some(&cluster), &[typo(Some(Mode::Strict))]);
    assert_eq!(exit, Exit::NotProven);
    assert!(
        reasons[0].contains("its selector app=kart matches no pod in namespace shop"),
        "{reasons:?}"
    );
    // A port that closes is enough; a policy that closes nothing needs no target.
    let mut port = typo(Some(Mode::Permissive));
    assert_eq!(
        gate(&evidence, Some(&cluster), &[port.clone()]).0,
        Exit::Ready
    );
    port.ports.insert(80, Some(Mode::Strict));
    assert_eq!(gate(&evidence, Some(&cluster), &[port]).0, Exit::NotProven);
    // It is applied already: nothing changes.
    let mut applied = cluster.clone();
    applied.policies = vec![existing(typo(Some(Mode::Strict)))];
    let unchanged = [typo(Some(Mode::Strict))];
    assert_eq!(gate(&evidence, Some(&applied), &unchanged).0, Exit::Ready);
}

#[test]
fn files_that_lack_a_namespace_do_not_prove_that_nobody_is_there() {
    let evidence = evidence(&["cart"], Vec::new());
    let strict = [policy("billing", "default", Some(Mode::Strict))];
    let mut files = cluster(Vec::new(), vec![pod("shop", "cart", &[])]);
    assert_eq!(gate(&evidence, Some(&files), &strict).0, Exit::Ready);
    files.complete = false;
    assert_eq!(gate(&evidence, Some(&files), &strict).0, Exit::NotProven);
    // Pods of it without a sidecar, or of a gateway, do.
    let mut gateway = pod("billing", "gateway", &[]);
    gateway.gateway = true;
    files.pods.as_mut().unwrap().push(gateway);
    assert_eq!(gate(&evidence, Some(&files), &strict).0, Exit::Ready);
}

#[test]
fn an_unset_mode_needs_the_policy_that_it_inherits_from() {
    let evidence = evidence(&["cart"], vec![caller("cart", 80, 60)]);
    let unset = [policy("shop", "default", None)];
    assert_eq!(gate(&evidence, None, &unset).0, Exit::NotProven);
    let today = vec![existing(policy("shop", "default", Some(Mode::Permissive)))];
    let mut files = cluster(today, vec![pod("shop", "cart", &[])]);
    assert_eq!(gate(&evidence, Some(&files), &unset).0, Exit::Ready);
    files.complete = false;
    assert_eq!(gate(&evidence, Some(&files), &unset).0, Exit::NotProven);
    // The mesh is STRICT, so UNSET closes the namespace.
    files
        .policies
        .push(existing(policy(ROOT, "default", Some(Mode::Strict))));
    assert_eq!(gate(&evidence, Some(&files), &unset).0, Exit::Callers);
}

#[test]
fn what_looks_strict_and_closes_nothing_passes() {
    let evidence = evidence(&["cart"], vec![caller("cart", 80, 60)]);
    // Port levels count beside a selector only, and DISABLE to PERMISSIVE refuses no caller.
    let disabled = vec![existing(policy("shop", "default", Some(Mode::Disable)))];
    let cluster = cluster(disabled, vec![pod("shop", "cart", &[])]);
    let mut ports = policy("shop", "default", Some(Mode::Permissive));
    ports.ports.insert(80, Some(Mode::Strict));
    assert_eq!(gate(&evidence, Some(&cluster), &[ports]).0, Exit::Ready);
    // DISABLE to STRICT refuses them.
    let strict = policy("shop", "default", Some(Mode::Strict));
    assert_eq!(gate(&evidence, Some(&cluster), &[strict]).0, Exit::Callers);
    // The mesh's policy does not reach a namespace with a policy of its own, and does reach one with UNSET.
    let mesh = policy(ROOT, "default", Some(Mode::Strict));
    assert_eq!(
        gate(&evidence, Some(&cluster), std::slice::from_ref(&mesh)).0,
        Exit::Ready
    );
    let mut unset = cluster;
    unset.policies = vec![existing(policy("shop", "default", None))];
    assert_eq!(gate(&evidence, Some(&unset), &[mesh]).0, Exit::Callers);
}

#[test]
fn a_workload_that_only_the_cluster_knows_is_not_proven() {
    let evidence = evidence(&["cart"], Vec::new());
    let pods = vec![pod("shop", "cart", &[]), pod("shop", "new", &[])];
    let cluster = cluster(Vec::new(), pods);
    let strict = [policy("shop", "default", Some(Mode::Strict))];
    let (exit, reasons) = gate(&evidence, Some(&cluster), &strict);
    assert_eq!(exit, Exit::NotProven);
    assert_eq!(reasons, ["coverage is unknown: no evidence of its pods"]);
}

/// A switch 30 minutes ago, and mutual TLS to one namespace.
fn switched(flows: &[(&str, f64, f64)]) -> Aftermath {
    let flows = flows.iter().map(|(namespace, before, after)| Flow {
        namespace: (*namespace).into(),
        workload: "cart".into(),
        port: 80,
        before: *before,
        after: *after,
    });
    Aftermath {
        since_seconds: 1_800,
        flows: flows.collect(),
        turned_away: Vec::new(),
    }
}

#[test]
fn a_switch_is_verified_only_with_traffic_a_known_mode_and_evidence_from_before_it() {
    let strict = vec![existing(policy("shop", "default", Some(Mode::Strict)))];
    let cluster = cluster(strict, vec![pod("shop", "cart", &[])]);
    let policies = cluster.policies();
    let check = |evidence: &Evidence, policies, aftermath: &Aftermath, question: &Question| {
        let facts = workloads(evidence, Some(&cluster));
        verify(&facts, policies, aftermath, |_| true, question).exit()
    };
    let good = evidence(&["cart"], Vec::new());
    let flowing = switched(&[("shop", 1.0, 1.0)]);
    assert_eq!(
        check(&good, Some(&policies), &flowing, &question()),
        Exit::Ready
    );
    assert_eq!(check(&good, None, &flowing, &question()), Exit::NotProven);
    // Traffic of another namespace is not this one's.
    let elsewhere = switched(&[("billing", 1.0, 1.0)]);
    assert_eq!(
        check(&good, Some(&policies), &elsewhere, &question()),
        Exit::NotProven
    );
    let stopped = switched(&[("shop", 1.0, 0.0)]);
    assert_eq!(
        check(&good, Some(&policies), &stopped, &question()),
        Exit::Callers
    );
    let mut soon = flowing.clone();
    soon.since_seconds = 300;
    assert_eq!(
        check(&good, Some(&policies), &soon, &question()),
        Exit::NotProven
    );
    // Pods that report since the switch only cannot show who stopped calling.
    let mut late = good.clone();
    late.coverage[0].reporting_since = Some(at(1_000));
    assert_eq!(
        check(&late, Some(&policies), &flowing, &question()),
        Exit::NotProven
    );
    // A short window hides no caller of the time compared.
    let silent = evidence(&["cart"], vec![caller("cart", 80, 2_400)]);
    let mut short = question();
    short.window = "20m".parse().unwrap();
    assert_eq!(
        check(&silent, Some(&policies), &flowing, &short),
        Exit::Callers
    );
}
