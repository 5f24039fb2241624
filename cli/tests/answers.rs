//! The commands against a real Prometheus that holds the evidence of four namespaces, one of each decision.

mod common;

use common::{Prometheus, mesh, plainsight};

/// A file with the example's objects.
fn objects() -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), mesh::objects()).unwrap();
    file
}

fn without_last_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# "))
        .collect();
    lines.join("\n")
}

#[test]
fn report_shows_where_every_namespace_stands() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let objects = objects();
    let path = objects.path().to_str().unwrap();

    let answer = prometheus.ask(&["report", "-f", path]);
    assert_eq!(
        without_last_line(&answer.out),
        "\
NAMESPACE  MODE        DECISION  CALLERS  PORTS  COVERAGE  PROVEN  LAST PLAINTEXT
billing    PERMISSIVE  except          2   9000       9/9     15d  3h ago
hr         PERMISSIVE  not yet         4   8080       5/6       -  2h ago
payments   STRICT      done            0      -       4/4     40d  12d ago
shop       PERMISSIVE  switch          0      -     14/14     16d  never
! hr/payroll: 1 of 3 pods has no filter (payroll-7c9d-x2k): check the plugin's selector, the image pull and the scrape
! hr/people: proven for 2d of 14d",
        "{}",
        answer.err
    );
    let basis = answer.out.lines().last().unwrap();
    assert!(
        basis.ends_with("; window 14d; probes and scrapes counted; 32 of 33 pods report"),
        "{basis}"
    );
    assert_eq!(answer.code, 2);

    // One exit code for each decision.
    for (namespace, code) in [("shop", 0), ("billing", 2), ("hr", 2), ("payments", 0)] {
        assert_eq!(
            prometheus
                .ask(&["report", "-n", namespace, "-f", path])
                .code,
            code,
            "{namespace}"
        );
    }
    assert_eq!(
        prometheus
            .ask(&["report", "-n", "hr", "-f", path, "--exit-zero"])
            .code,
        0
    );
    // 16 days of proof are not 20; no caller is in the way.
    assert_eq!(
        prometheus
            .ask(&["report", "-n", "shop", "-f", path, "--window", "20d"])
            .code,
        3
    );
    // A window that ends before the callers came.
    let hour = prometheus.ask(&["report", "-n", "billing", "-f", path, "--window", "1h"]);
    assert_eq!(
        (hour.code, hour.out.contains("except")),
        (0, false),
        "{}",
        hour.out
    );
    // The probe is the only caller of people.
    let app = prometheus.ask(&[
        "report",
        "-n",
        "hr",
        "--window",
        "1d",
        "--counted",
        "app",
        "-o",
        "csv",
    ]);
    assert!(
        app.out.contains("hr,people,PERMISSIVE,switch,0")
            || app.out.contains("hr,people,,switch,0"),
        "{}",
        app.out
    );
    assert!(
        prometheus
            .ask(&["report", "-n", "hr", "--counted", "app"])
            .out
            .contains("probes and scrapes not counted")
    );
    // Without the cluster modes are unknown, and say so.
    let blind = prometheus.ask(&["report", "-n", "payments"]);
    assert!(
        blind.out.contains("payments   gateway   unknown  except"),
        "{}",
        blind.out
    );
    assert!(blind.out.contains("modes are unknown"), "{}", blind.out);

    // An unknown name comes with the nearest ones; too long a window is refused.
    let typo = prometheus.ask(&["report", "-n", "biling"]);
    assert_eq!(
        (typo.code, typo.err.as_str()),
        (
            1,
            "plainsight: unknown namespace: biling; nearest: billing\n"
        )
    );
    let long = prometheus.ask(&["report", "--window", "41d"]);
    assert_eq!(
        (long.code, long.err.as_str()),
        (
            1,
            "plainsight: --window: the rules remember 40d, got: 41d\n"
        )
    );
    assert_eq!(prometheus.ask(&["report", "-o", "jsn"]).code, 1);
}

#[test]
fn the_number_of_queries_does_not_depend_on_the_number_of_namespaces() {
    let count = |namespaces: usize| {
        let mut mesh = mesh::Mesh::new();
        mesh.rules();
        for number in 0..namespaces {
            mesh.workload(&format!("ns-{number}"), "web", (1, 2), 20);
            mesh.caller(
                "old/app",
                "Deployment",
                &format!("ns-{number}/web:80"),
                60,
                "",
            );
        }
        let answer = Prometheus::with(&mesh.openmetrics()).ask(&["report", "-v"]);
        answer
            .err
            .lines()
            .filter(|line| line.starts_with("query: "))
            .count()
    };
    let few = count(1);
    assert!((1..=6).contains(&few), "{few}");
    assert_eq!(few, count(60));
}

#[test]
fn explain_names_each_caller_and_its_cause() {
    let mut mesh = mesh::example();
    mesh.caller(
        "old/app-0",
        "Deployment",
        "billing/invoices:8443",
        600,
        "peer=\"tls_passthrough\"",
    );
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let objects = objects();
    let path = objects.path().to_str().unwrap();

    let answer = prometheus.ask(&["explain", "billing", "-f", path]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    for part in [
        "batch/legacy-cron",
        "CronJob",
        "outside the mesh",
        "own TLS",
        "runbook.md#the-applications-own-tls",
    ] {
        assert!(answer.out.contains(part), "{part} in {}", answer.out);
    }
    assert!(
        answer.out.contains("none of its pods exists now"),
        "what it could not know: {}",
        answer.out
    );

    let node = prometheus.ask(&["explain", "hr/people:8080", "-f", path]);
    assert!(
        node.out.contains("node-1 is a node") && node.out.contains("probe"),
        "{}",
        node.out
    );
    let plain = prometheus.ask(&["explain", "hr/payroll", "-f", path]);
    assert!(
        plain.out.contains("no sidecar")
            && plain
                .out
                .contains("without a container istio-proxy: 1 of 1 pods"),
        "{}",
        plain.out
    );

    assert_eq!(
        prometheus.ask(&["explain", "shop/cart", "-f", path]).code,
        0
    );
    let typo = prometheus.ask(&["explain", "shop/kart"]);
    assert_eq!(
        (typo.code, typo.err.as_str()),
        (1, "plainsight: unknown workload: kart; nearest: cart\n")
    );
    assert_eq!(prometheus.ask(&["explain", "shop/cart:x"]).code, 1);
}

#[test]
fn explain_counts_the_hours_in_which_a_caller_came() {
    use std::fmt::Write as _;
    let mesh = mesh::Mesh::new();
    let to = "destination_workload_namespace=\"shop\",destination_workload=\"cart\"";
    let labels = format!(
        "caller=\"batch/nightly\",caller_kind=\"CronJob\",caller_namespace=\"batch\",peer=\"plaintext\",strict=\"reject\",traffic=\"app\",destination_port=\"80\",{to}"
    );
    // Ten hours of evidence: the caller came in the first hour, and then every third.
    let hours = 10;
    let start = mesh.now / 3_600 * 3_600 - hours * 3_600;
    let (mut last, mut first, mut rules, mut since) =
        (String::new(), String::new(), String::new(), String::new());
    let mut at = start;
    while at <= mesh.now + 600 {
        let seen = start + (at - start) / (3 * 3_600) * (3 * 3_600);
        writeln!(
            last,
            "plainsight:caller:last_seen_timestamp_seconds{{{labels}}} {seen} {at}"
        )
        .unwrap();
        writeln!(
            first,
            "plainsight:caller:first_seen_timestamp_seconds{{{labels}}} {start} {at}"
        )
        .unwrap();
        for group in ["evidence", "coverage"] {
            writeln!(
                rules,
                "plainsight:rules:evaluated_timestamp_seconds{{group=\"{group}\"}} {at} {at}"
            )
            .unwrap();
        }
        writeln!(
            since,
            "plainsight:workload:reporting_since_timestamp_seconds{{{to}}} {start} {at}"
        )
        .unwrap();
        at += 60;
    }
    let prometheus = Prometheus::with(&format!("{last}{first}{rules}{since}# EOF\n"));
    let answer = prometheus.ask(&["explain", "shop/cart", "--window", "12h"]);
    let came = (mesh.now - start) / (3 * 3_600) + 1;
    assert!(
        answer.out.contains(&format!("{came} of 12 hours")),
        "{came} in {}{}",
        answer.out,
        answer.err
    );
}

#[test]
fn a_snapshot_gives_the_same_answers_until_it_is_stale() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let objects = objects();
    let path = objects.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.json");
    let file = file.to_str().unwrap();

    let taken = prometheus.ask(&["snapshot", "-o", file, "-f", path]);
    assert_eq!(taken.code, 0, "{}", taken.err);
    let live = prometheus.ask(&["report", "-f", path]);
    let read = plainsight(&["report", "--from", file]);
    assert_eq!(
        (without_last_line(&read.out), read.code),
        (without_last_line(&live.out), live.code)
    );
    assert_eq!(
        plainsight(&["plan", "-n", "billing", "--from", file]).code,
        0
    );
    assert_eq!(plainsight(&["explain", "billing", "--from", file]).code, 2);
    assert_eq!(
        plainsight(&["report", "-n", "shop", "--from", file]).code,
        0
    );

    // An old snapshot proves nothing.
    let mut old: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    old["evidence"]["queriedAt"] = "2025-01-01T00:00:00Z".into();
    std::fs::write(file, old.to_string()).unwrap();
    let stale = plainsight(&["report", "-n", "shop", "--from", file]);
    assert!(
        stale.code == 3 && stale.out.contains("more than --max-age 1d"),
        "{}",
        stale.out
    );
    std::fs::write(file, "{}").unwrap();
    assert_eq!(plainsight(&["report", "--from", file]).code, 1);
}

#[test]
fn verify_reports_who_is_lost_after_a_switch() {
    let mut mesh = mesh::example();
    // payments is STRICT: one caller came until 40 minutes ago, one handshake fails, mutual TLS flows.
    mesh.caller(
        "old/app-1",
        "Deployment",
        "payments/gateway:443",
        40 * 60,
        "",
    );
    let port = "destination_workload_namespace=\"payments\",destination_workload=\"gateway\",destination_port=\"443\"";
    mesh.series(
        "plainsight:port:requests:rate5m",
        &format!("{port},peer=\"mutual_tls\",strict=\"allow\""),
        3,
    );
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let objects = objects();
    let path = objects.path().to_str().unwrap();

    let silent = prometheus.ask(&["verify", "-n", "payments", "-f", path, "--since", "30m"]);
    assert_eq!(silent.code, 2, "{}{}", silent.out, silent.err);
    assert!(
        silent.out.contains("stopped calling")
            && silent.out.contains("old/app-1")
            && silent.out.contains("mutual TLS flows to 1 ports"),
        "{}",
        silent.out
    );
    // Twelve days ago says nothing about a switch an hour ago; app-1 came before it and is not due.
    let calm = prometheus.ask(&["verify", "-n", "payments", "-f", path, "--since", "10m"]);
    assert_eq!(calm.code, 0, "{}", calm.out);
    // hr has not been switched.
    assert!(
        prometheus
            .ask(&["verify", "-n", "shop", "-f", path])
            .out
            .contains("not STRICT: shop/cart: PERMISSIVE")
    );

    // Without any mutual TLS before or since, nothing shows that it flows.
    let quiet = Prometheus::with(&mesh::example().openmetrics());
    let quiet = quiet.ask(&["verify", "-n", "payments", "-f", path]);
    assert!(
        quiet.code == 3 && quiet.out.contains("no mutual TLS"),
        "{}",
        quiet.out
    );

    mesh.series(
        "plainsight:caller:handshake_failures:increase15m",
        &format!("{port},caller=\"old/app-2\",caller_kind=\"Deployment\""),
        4,
    );
    let prometheus = Prometheus::with(&mesh.openmetrics());
    let away = prometheus.ask(&["verify", "-n", "payments", "-f", path, "--since", "10m"]);
    assert!(
        away.code == 2 && away.out.contains("turned away") && away.out.contains("old/app-2"),
        "{}",
        away.out
    );
}

#[test]
fn doctor_checks_whether_this_installation_can_answer() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let answer = prometheus.ask(&["doctor"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    for part in [
        "scrape",
        "0.2.0 (2 pods)",
        "32 of 33 pods report",
        "evaluated within five minutes",
    ] {
        assert!(answer.out.contains(part), "{part} in {}", answer.out);
    }
    let empty = Prometheus::with("");
    let answer = empty.ask(&["doctor"]);
    assert!(
        answer.code == 3 && answer.out.contains("no recording rules"),
        "{}",
        answer.out
    );
}
