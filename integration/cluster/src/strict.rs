//! The steps of the migration, as docs/runbook.md names them, for the workload of the tests.

/// One workload takes mutual TLS only, but for target port 9000. `portLevelMtls` needs a selector.
pub const WORKLOAD_EXCEPT_PORT: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: checkout, namespace: shop}
spec:
  selector: {matchLabels: {app: checkout}}
  mtls: {mode: STRICT}
  portLevelMtls:
    9000: {mode: PERMISSIVE}
";

/// The whole namespace takes mutual TLS only.
pub const NAMESPACE: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec:
  mtls: {mode: STRICT}
";
