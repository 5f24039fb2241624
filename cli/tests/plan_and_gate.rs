//! `plan` and `gate` against a real Prometheus: what may be switched, and what may be applied.

mod common;

use common::{Prometheus, mesh};

/// A file with the example's objects.
fn objects() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), mesh::objects()).unwrap();
    file
}

#[test]
fn a_plan_with_one_exempt_port_passes_the_gate_and_plain_strict_does_not() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let objects = objects();
    let path = objects.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("plan");
    let dir = dir.to_str().unwrap();

    let plan = prometheus.ask(&["plan", "-n", "billing", "-f", path, "--dir", dir]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    let policies = format!("{dir}/policies");
    let read = |name: &str| std::fs::read_to_string(format!("{dir}/{name}")).unwrap();
    let ledger = read("policies/02-ledger.yaml");
    for part in [
        "name: plainsight-ledger",
        "app: ledger",
        "batch/legacy-cron, ledger-vms (10.0.0.9)",
        "plainsight.dev/evidence",
    ] {
        assert!(ledger.contains(part), "{part} in {ledger}");
    }
    let exemptions = read("exemptions.values.yaml");
    assert!(
        exemptions.contains("# billing/ledger:9000 for batch/legacy-cron"),
        "{exemptions}"
    );
    assert!(
        exemptions.contains("port: 9000") && exemptions.contains("workload: ledger"),
        "{exemptions}"
    );
    assert!(read("rollback/01-namespace.yaml").contains("mode: PERMISSIVE"));
    assert!(read("rollback/02-ledger.yaml").contains("mode: PERMISSIVE"));
    assert!(
        !read("rollback/02-ledger.yaml").contains("STRICT"),
        "{}",
        read("rollback/02-ledger.yaml")
    );

    // The plan passes; STRICT for the whole namespace would refuse the two callers of port 9000.
    let gate = prometheus.ask(&["gate", "-f", &policies, "--current", path]);
    assert_eq!(gate.code, 0, "{}", gate.out);
    let strict = folder.path().join("strict.yaml");
    let policy = |name: &str, namespace: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{mtls: {{mode: STRICT}}}}\n"
        )
    };
    std::fs::write(&strict, policy("default", "billing")).unwrap();
    let strict = strict.to_str().unwrap();
    let gate = prometheus.ask(&["gate", "-f", strict, "--current", path]);
    assert_eq!(gate.code, 2, "{}", gate.out);
    assert!(
        gate.out
            .contains("billing/ledger: batch/legacy-cron calls port 9000 in plaintext"),
        "{}",
        gate.out
    );
    let github = prometheus.ask(&["gate", "-f", strict, "--current", path, "-o", "github"]);
    assert!(
        github.out.contains("::error file=")
            && github.out.contains("title=plainsight%3A billing/ledger::"),
        "{}",
        github.out
    );
    let junit = prometheus.ask(&["gate", "-f", strict, "--current", path, "-o", "junit"]);
    assert!(
        junit.out.contains("<testsuites") && junit.out.contains("failures=\"1\""),
        "{}",
        junit.out
    );

    // What a namespace cannot prove does not pass; what changes nothing does.
    std::fs::write(strict, policy("default", "nowhere")).unwrap();
    assert_eq!(prometheus.ask(&["gate", "-f", strict]).code, 3);
    std::fs::write(strict, policy("default", "payments")).unwrap();
    assert_eq!(
        prometheus
            .ask(&["gate", "-f", strict, "--current", path])
            .code,
        0
    );
    // The mesh's own policy concerns every namespace.
    std::fs::write(strict, policy("default", "istio-system")).unwrap();
    let mesh = prometheus.ask(&["gate", "-f", strict, "--current", path]);
    assert!(
        mesh.code == 2 && mesh.out.contains("hr/payroll") && mesh.out.contains("billing/ledger"),
        "{}",
        mesh.out
    );
    // One broken document of two: nothing is answered.
    std::fs::write(strict, format!("{}---\nkind: PeerAuthentication\nmetadata: {{name: x, namespace: shop}}\nspec: {{mtls: {{mode: STRIKT}}}}\n", policy("a", "shop"))).unwrap();
    let broken = prometheus.ask(&["gate", "-f", strict, "--current", path]);
    assert_eq!((broken.code, broken.out.as_str()), (1, ""));
    assert!(
        broken
            .err
            .contains("document 2: PeerAuthentication x: spec.mtls.mode"),
        "{}",
        broken.err
    );

    // A folder that exists is not touched; the root namespace and unready workloads are left alone.
    assert_eq!(
        prometheus
            .ask(&["plan", "-n", "billing", "-f", path, "--dir", dir])
            .code,
        1
    );
    let hr = prometheus.ask(&["plan", "-n", "hr", "-f", path]);
    assert!(
        hr.code == 2 && !hr.out.contains("kind: PeerAuthentication"),
        "{}",
        hr.out
    );
    assert_eq!(
        prometheus
            .ask(&["plan", "-n", "shop", "--max-exempt", "0", "-f", path])
            .code,
        0
    );
    assert_eq!(
        prometheus
            .ask(&["plan", "-n", "billing", "--max-exempt", "0", "-f", path])
            .code,
        2
    );
    assert_eq!(
        prometheus.ask(&["plan", "-n", "billing"]).code,
        1,
        "a plan needs the cluster"
    );
}

#[test]
fn exempt_callers_do_not_block_until_a_policy_closes_their_port() {
    let mut mesh = mesh::Mesh::new();
    mesh.rules().workload("shop", "cart", (2, 2), 20);
    // It called before the port was exempt, and after.
    for (age, labels) in [(90_000, ""), (7_200, "strict=\"exempt\"")] {
        mesh.caller("old/app", "Deployment", "shop/cart:7000", age, labels);
    }
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let objects = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(objects.path(), mesh::pod("shop", "cart", 1, true)).unwrap();
    let path = objects.path().to_str().unwrap();
    let report = prometheus.ask(&["report", "-f", path]);
    assert!(
        report.code == 0 && report.out.contains("except          0   7000"),
        "{}",
        report.out
    );
    let explain = prometheus.ask(&["explain", "shop", "-f", path, "-o", "csv"]);
    assert_eq!(
        explain.out.matches("old/app").count(),
        1,
        "one row, with the verdict that holds: {}",
        explain.out
    );

    let strict = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(strict.path(), "kind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n").unwrap();
    let strict = strict.path().to_str().unwrap();
    let gate = prometheus.ask(&["gate", "-f", strict, "--current", path]);
    assert!(
        gate.code == 2 && gate.out.contains("old/app calls port 7000"),
        "{}",
        gate.out
    );
    // The plan keeps the port open, and so passes.
    let plan = prometheus.ask(&["plan", "-n", "shop", "-f", path]);
    assert!(
        plan.code == 0 && plan.out.contains("\"7000\":\n      mode: PERMISSIVE"),
        "{}",
        plan.out
    );
}
