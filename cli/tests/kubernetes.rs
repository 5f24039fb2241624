//! Reading a cluster: GET and LIST only, and one clear sentence for each right that is missing.
//! What the API itself decides is tested where a real one runs; this server only records requests and answers lists.

mod common;

use common::{Prometheus, Server, mesh, response};
use serde_json::json;

/// A kubeconfig for the server.
fn kubeconfig(server: &Server) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = &server.url;
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- {{name: test, cluster: {{server: '{url}'}}}}\ncontexts:\n- {{name: test, context: {{cluster: test, user: test}}}}\nusers:\n- {{name: test, user: {{token: secret}}}}\n"
    );
    std::fs::write(file.path(), text).unwrap();
    file
}

fn path(head: &str) -> &str {
    head.split_whitespace().nth(1).unwrap_or_default()
}

fn pod(number: u32, proxy: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": format!("ledger-7c9d-{number}"), "namespace": "billing", "labels": {"app": "ledger", "pod-template-hash": "7c9d"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "ledger-7c9d", "uid": "a", "controller": true}]},
        "spec": {"containers": [{"name": "app"}, {"name": proxy}]},
        "status": {"phase": "Running"}
    })
}

/// Lists of everything, pods in two pages; what `forbidden` names is refused.
fn cluster(forbidden: &'static str) -> Server {
    Server::start(move |head| {
        let path = path(head);
        if !forbidden.is_empty() && path.contains(forbidden) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "forbidden: who", "reason": "Forbidden", "code": 403});
            return Some(response(
                "403 Forbidden",
                "application/json",
                &status.to_string(),
            ));
        }
        let list = |items: serde_json::Value, next: &str| json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": next}, "items": items});
        let body = if path.contains("/configmaps/istio") {
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "istio"}, "data": {"mesh": "accessLogFile: /dev/stdout\nrootNamespace: mesh-root\n"}})
        } else if path.contains("peerauthentications") {
            let policy = |namespace: &str, mode: &str| json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": namespace, "creationTimestamp": "2024-01-01T00:00:00Z"}, "spec": {"mtls": {"mode": mode}}});
            list(
                json!([policy("mesh-root", "STRICT"), policy("shop", "PERMISSIVE")]),
                "",
            )
        } else if path.contains("/pods") && path.contains("continue=") {
            list(json!([pod(2, "istio-proxy")]), "")
        } else if path.contains("/pods") {
            list(json!([pod(1, "istio-proxy")]), "more")
        } else {
            list(json!([]), "")
        };
        Some(response("200 OK", "application/json", &body.to_string()))
    })
}

#[test]
fn the_cluster_is_read_with_get_and_list_alone() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let server = cluster("");
    let kubeconfig = kubeconfig(&server);
    let answer = prometheus.ask(&[
        "report",
        "--kubeconfig",
        kubeconfig.path().to_str().unwrap(),
        "-o",
        "csv",
    ]);
    // The root namespace of the mesh configuration is STRICT, shop opts out.
    assert!(
        answer.out.contains("billing,,STRICT,done,0")
            && answer.out.contains("shop,,PERMISSIVE,switch,0"),
        "{}{}",
        answer.out,
        answer.err
    );
    let requests = server.requests.lock().unwrap();
    assert!(
        requests.iter().all(|request| request.starts_with("GET ")),
        "{requests:?}"
    );
    assert!(requests.iter().all(|request| {
        request
            .to_lowercase()
            .contains("authorization: bearer secret")
    }));
    assert_eq!(
        requests
            .iter()
            .filter(|request| path(request).contains("/pods"))
            .count(),
        2,
        "both pages"
    );
    // Exactly what the chart's role allows.
    let allowed = [
        "/api/v1/pods",
        "/api/v1/namespaces?",
        "/api/v1/services",
        "/apis/security.istio.io/v1/peerauthentications",
        "/apis/networking.istio.io/v1/destinationrules",
        "/api/v1/namespaces/istio-system/configmaps/istio",
    ];
    for request in requests.iter() {
        assert!(
            allowed
                .iter()
                .any(|allowed| path(request).starts_with(allowed)),
            "{}",
            path(request)
        );
    }
}

#[test]
fn a_missing_right_is_one_sentence_that_names_it() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    for (forbidden, right) in [
        ("/api/v1/pods", "list pods"),
        (
            "peerauthentications",
            "list peerauthentications.security.istio.io",
        ),
    ] {
        let server = cluster(forbidden);
        let kubeconfig = kubeconfig(&server);
        let answer = prometheus.ask(&[
            "report",
            "--kubeconfig",
            kubeconfig.path().to_str().unwrap(),
        ]);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""));
        assert!(
            answer.err.contains(&format!("needs the right to {right}"))
                && answer.err.lines().count() == 1,
            "{}",
            answer.err
        );
    }
    // Without these the answer stands, and says what it could not know.
    for (forbidden, right) in [
        ("/services", "list services"),
        ("destinationrules", "list destinationrules"),
        ("configmaps", "get configmaps/istio"),
    ] {
        let server = cluster(forbidden);
        let kubeconfig = kubeconfig(&server);
        let answer = prometheus.ask(&[
            "report",
            "-n",
            "shop",
            "--kubeconfig",
            kubeconfig.path().to_str().unwrap(),
        ]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        assert!(answer.out.contains(right), "{}", answer.out);
    }
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_one_sentence() {
    let prometheus = Prometheus::with(&mesh::example().openmetrics());
    let missing = prometheus.ask(&["report", "--kubeconfig", "/nonexistent"]);
    assert!(
        missing.code == 1
            && missing.err.contains("/nonexistent")
            && missing.err.lines().count() == 1,
        "{}",
        missing.err
    );
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "clusters: [\n").unwrap();
    let broken = prometheus.ask(&["report", "--kubeconfig", broken.path().to_str().unwrap()]);
    assert!(
        broken.code == 1 && broken.out.is_empty() && broken.err.lines().count() == 1,
        "{}",
        broken.err
    );
    let server = cluster("");
    let kubeconfig = kubeconfig(&server);
    let context = prometheus.ask(&[
        "report",
        "--kubeconfig",
        kubeconfig.path().to_str().unwrap(),
        "--context",
        "other",
    ]);
    assert!(
        context.code == 1 && context.err.contains("other") && context.err.lines().count() == 1,
        "{}",
        context.err
    );
}
