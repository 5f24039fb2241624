//! Bad input: one clear sentence each, the right exit code, nothing written half.

mod common;

use common::{Answer, Prometheus, Server, mesh, plainsight, response};

fn report(url: &str, more: &[&str]) -> Answer {
    let mut arguments = vec!["report", "--prometheus", url];
    arguments.extend(more);
    plainsight(&arguments)
}

/// One sentence on standard error, exit code 1, nothing on standard output.
fn is_error(answer: &Answer, part: &str) {
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (1, ""),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains(part) && answer.err.lines().count() == 1,
        "{part} in {}",
        answer.err
    );
}

#[test]
fn a_prometheus_that_does_not_answer_is_one_sentence() {
    is_error(&report("http://127.0.0.1:1", &[]), "Connection refused");
    is_error(&report("prometheus:9090", &[]), "expected http://HOST");
    is_error(
        &report("http://user:secret@127.0.0.1:1", &[]),
        "credentials in the URL",
    );
    is_error(&plainsight(&["report"]), "no Prometheus");
    let slow = Server::start(|_| None);
    is_error(
        &report(&slow.url, &["--timeout", "1s"]),
        "no answer in time",
    );
}

#[test]
fn answers_that_are_no_answers_are_named() {
    for (status, kind, body, part) in [
        (
            "401 Unauthorized",
            "text/plain",
            "who?",
            "401 Unauthorized: give --bearer-token-file",
        ),
        (
            "200 OK",
            "text/html",
            "<!doctype html><title>Log in</title>",
            "HTML instead of JSON: a login page",
        ),
        (
            "200 OK",
            "application/json",
            "{\"hello\": 1}",
            "not an answer of Prometheus's API",
        ),
        (
            "503 Service Unavailable",
            "application/json",
            r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
            "timeout: query timed out",
        ),
        (
            "502 Bad Gateway",
            "text/plain",
            "upstream",
            "502 Bad Gateway",
        ),
    ] {
        let server = Server::start(move |_| Some(response(status, kind, body)));
        is_error(&report(&server.url, &[]), part);
    }
}

#[test]
fn tokens_and_headers_are_sent_and_only_get_is() {
    let server = Server::start(|_| Some(response("401 Unauthorized", "text/plain", "")));
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret\n").unwrap();
    let answer = report(
        &server.url,
        &[
            "--bearer-token-file",
            token.path().to_str().unwrap(),
            "--header",
            "X-Scope-OrgID: team-1",
        ],
    );
    assert_eq!(answer.code, 1);
    assert!(!answer.err.contains("secret"), "{}", answer.err);
    let requests = server.requests.lock().unwrap();
    let request = requests[0].to_lowercase();
    assert!(request.starts_with("get /api/v1/query?"), "{request}");
    assert!(
        request.contains("authorization: bearer secret\r\n")
            && request.contains("x-scope-orgid: team-1\r\n"),
        "{request}"
    );
    is_error(
        &report(&server.url, &["--ca-file", token.path().to_str().unwrap()]),
        "no certificate in PEM form",
    );
}

/// A vector of one sample.
fn vector(labels: &str, value: i64) -> String {
    format!("{{\"metric\":{{{labels}}},\"value\":[{value},\"{value}\"]}}")
}

/// A stand-in for a proxy in front of Prometheus: one ready workload, and what a test changes.
/// `more` are further fields of every answer.
fn ready(now_offset: i64, evaluated_ago: i64, more: &'static str) -> Server {
    let now = mesh::Mesh::new().now + now_offset;
    Server::start(move |head| {
        let workload = |name: &str, value| {
            vector(
                &format!(
                    "\"__name__\":\"plainsight:workload:{name}\",\"destination_workload_namespace\":\"shop\",\"destination_workload\":\"cart\""
                ),
                value,
            )
        };
        let result = if head.contains("vector") {
            vector("", now)
        } else if head.contains("pods_reporting") {
            [
                workload("pods", 1),
                workload("pods_reporting", 1),
                workload("reporting_since_timestamp_seconds", now - 30 * mesh::DAY),
            ]
            .join(",")
        } else if head.contains("evaluated_timestamp") {
            ["evidence", "coverage"]
                .map(|group| vector(&format!("\"group\":\"{group}\""), now - evaluated_ago))
                .join(",")
        } else {
            String::new()
        };
        let body = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{result}]}}{more}}}"
        );
        Some(response("200 OK", "application/json", &body))
    })
}

#[test]
fn partial_and_stale_answers_prove_nothing() {
    assert_eq!(
        report(&ready(0, 30, "").url, &[]).code,
        0,
        "the same without a fault"
    );
    for (more, part) in [
        (
            r#","warnings":["receive series from store-1: unavailable"]"#,
            "partial: receive series from store-1",
        ),
        (
            r#","infos":["bucket store-2: blocks not queried"]"#,
            "partial: bucket store-2",
        ),
        (r#","isPartial":true"#, "partial: isPartial"),
    ] {
        let partial = report(&ready(0, 30, more).url, &[]);
        assert!(
            partial.code == 3 && partial.out.contains(part),
            "{}",
            partial.out
        );
        assert!(
            partial.out.contains("not yet") && !partial.out.contains("switch"),
            "{}",
            partial.out
        );
    }
    let stale = report(&ready(0, 400, "").url, &[]);
    assert!(
        stale.code == 3 && stale.out.contains("evaluated 6m ago"),
        "{}",
        stale.out
    );
    // Another clock is no obstacle: ages are computed on Prometheus's.
    let skewed = report(&ready(-7_200, 30, "").url, &[]);
    assert!(
        skewed.code == 0 && skewed.out.contains("clock: Prometheus says"),
        "{}",
        skewed.out
    );
}

#[test]
fn missing_rules_and_packed_tags_are_told_apart() {
    let empty = Prometheus::with("").ask(&["report"]);
    assert!(
        empty.code == 3 && empty.out.contains("no recording rules: "),
        "{}{}",
        empty.out,
        empty.err
    );
    let mut raw = mesh::Mesh::new();
    raw.series("plainsight_connections_total", "tag=\"peer=plaintext\"", 1);
    let packed = Prometheus::with(&raw.openmetrics()).ask(&["report", "-n", "shop"]);
    assert!(
        packed.code == 3 && packed.out.contains("still carry `tag`"),
        "{}{}",
        packed.out,
        packed.err
    );
}

#[test]
fn several_clusters_have_to_be_chosen_from() {
    let mut mesh = mesh::Mesh::new();
    mesh.rules();
    for cluster in ["east", "west"] {
        let labels = format!(
            "cluster=\"{cluster}\",destination_workload_namespace=\"shop\",destination_workload=\"cart\""
        );
        mesh.series("plainsight:workload:pods", &labels, 1);
    }
    let prometheus = Prometheus::with(&mesh.openmetrics());
    is_error(
        &prometheus.ask(&["report"]),
        "2 clusters: choose with --cluster: east, west",
    );
    is_error(
        &prometheus.ask(&["report", "--cluster", "wst"]),
        "unknown cluster: wst; nearest: west",
    );
    assert_eq!(prometheus.ask(&["report", "--cluster", "west"]).code, 3);
}

#[test]
fn rules_of_another_cluster_prove_nothing_about_this_one() {
    let report = |west: &[&str]| {
        let mut mesh = mesh::Mesh::new();
        for cluster in ["east", "west"] {
            let labels = format!(
                "cluster=\"{cluster}\",destination_workload_namespace=\"shop\",destination_workload=\"cart\""
            );
            for (name, value) in [
                ("pods", 1),
                ("pods_reporting", 1),
                (
                    "reporting_since_timestamp_seconds",
                    mesh.now - 20 * mesh::DAY,
                ),
            ] {
                mesh.series(&format!("plainsight:workload:{name}"), &labels, value);
            }
        }
        let evaluated = ["evidence", "coverage"].map(|group| ("east", group));
        let now = mesh.now;
        for (cluster, group) in evaluated
            .into_iter()
            .chain(west.iter().map(|group| ("west", *group)))
        {
            mesh.series(
                "plainsight:rules:evaluated_timestamp_seconds",
                &format!("cluster=\"{cluster}\",group=\"{group}\""),
                now,
            );
        }
        Prometheus::with(&mesh.openmetrics()).ask(&["report", "--cluster", "west"])
    };
    let both = report(&["evidence", "coverage"]);
    assert_eq!(both.code, 0, "{}{}", both.out, both.err);
    let one = report(&["evidence"]);
    assert!(
        one.code == 3 && one.out.contains("rules are missing: group coverage"),
        "{}{}",
        one.out,
        one.err
    );
}

#[test]
fn peek_reads_files_and_refuses_what_is_no_exposition() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let to = "destination_workload=orders,destination_workload_namespace=shop,destination_port";
    let text = format!(
        "plainsight_connections_total{{tag=\"peer=plaintext,strict=reject,source_ip=10.0.0.7,source_name=ledger%2Cvms,{to}=9000\"}} 2\n\
         plainsight_connections_total{{tag=\"peer=mutual_tls,strict=allow,source_principal=spiffe://a/ns/b/sa/c,{to}=8080\"}} 5\n\
         plainsight_requests_total{{tag=\"peer=mutual_tls,strict=allow,source_principal=spiffe://a/ns/b/sa/c,{to}=8080\"}} 9\n"
    );
    std::fs::write(path, text).unwrap();
    let answer = plainsight(&["peek", path]);
    assert_eq!(
        answer.out,
        "\
DESTINATION  PORT  CALLER                 SPEAKS            UNDER STRICT  CONNECTIONS  REQUESTS  LAST SEEN
shop/orders  9000  ledger,vms (10.0.0.7)  plaintext TCP     BREAKS                  2         -  -
shop/orders  8080  spiffe://a/ns/b/sa/c   mutual TLS, HTTP  works                   5         9  -
! 1 of 2 callers would break under STRICT
"
    );
    assert_eq!(answer.code, 2);
    std::fs::write(path, "<html>Log in</html>").unwrap();
    is_error(&plainsight(&["peek", path]), "expected metrics, got HTML");
    std::fs::write(path, "envoy_server_live 1\n").unwrap();
    assert_eq!(plainsight(&["peek", path]).code, 3);
    is_error(&plainsight(&["peek", "/nonexistent"]), "/nonexistent: ");
}

#[test]
fn help_and_usage_name_the_command_as_kubectl_calls_it() {
    use std::os::unix::process::CommandExt as _;
    let called = |name: &str, argument: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plainsight"))
            .arg0(name)
            .arg(argument)
            .output()
            .unwrap();
        String::from_utf8(if output.stdout.is_empty() {
            output.stderr
        } else {
            output.stdout
        })
        .unwrap()
    };
    for (name, own) in [
        ("/usr/bin/plainsight", "plainsight"),
        ("/usr/bin/kubectl-plainsight", "kubectl plainsight"),
    ] {
        let help = called(name, "--help");
        for line in [
            format!("Usage: {own} [OPTIONS] <COMMAND>"),
            format!("  {own} report"),
        ] {
            assert!(help.contains(&line), "{line} in {help}");
        }
        let usage = called(name, "plan");
        let line = format!("Usage: {own} plan --namespace <NS>");
        assert!(usage.contains(&line), "{usage}");
    }
}

#[test]
fn a_format_is_refused_before_anything_is_asked() {
    is_error(&plainsight(&["report", "-o", "junit"]), "only for `gate`");
    is_error(
        &plainsight(&["gate", "-f", "/nonexistent", "-o", "html"]),
        "only for `report`",
    );
    is_error(
        &report("http://127.0.0.1:1", &["--header", "a b: c"]),
        "--header: not a name and value of HTTP, got: a b: c",
    );
}
