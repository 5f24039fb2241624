//! The steps of the migration, as docs/runbook.md names them, for the workload of the tests.

/// One workload takes mutual TLS only, but for target port 9000. `portLevelMtls` needs a selector.
pub fn workload_except_port(namespace: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: checkout, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: checkout}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls:
    9000: {{mode: PERMISSIVE}}
"
    )
}

/// The whole namespace takes mutual TLS only.
pub fn namespace(namespace: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {namespace}}}
spec:
  mtls: {{mode: STRICT}}
"
    )
}
