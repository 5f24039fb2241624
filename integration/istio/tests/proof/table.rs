//! The proof as a Markdown table.

use crate::callers::{Fact, Verdict};
use crate::kinds::{Kind, Said};
use plainsight_istio::mesh::Port;

pub struct Row<'a> {
    pub kind: &'a Kind,
    pub verdict: &'a Verdict,
    pub permissive: &'a Fact,
    pub strict: &'a Fact,
}

/// Whether the verdict came true; `None` without one.
pub fn came_true(row: &Row<'_>) -> Option<bool> {
    let (_, strict) = row.verdict.as_ref()?;
    Some((strict == "allow") == (*row.strict == Fact::Served))
}

pub fn markdown(rows: &[Row<'_>]) -> String {
    let mut text = "<!-- Written by make istio-proof. -->\n\
         # The proof with istiod's own listeners\n\n\
         istiod, its agent and its iptables of Istio 1.31, built from the Go module; the stock Envoy as the sidecar; the\n\
         plugins of the chart's canary, the image fetched by the agent from a registry by digest.\n\
         Every kind of caller calls without any PeerAuthentication; then the namespace becomes STRICT, and the\n\
         same callers call again. The ports: HTTP, TCP and automatic are declared in a Service, the last one is not.\n\n\
         | caller | port | peer | verdict | under PERMISSIVE | under STRICT | came true |\n\
         |---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let (peer, strict) = row
            .verdict
            .as_ref()
            .map_or(("-", "(no caller)"), |(peer, strict)| (peer, strict));
        let came = match came_true(row) {
            None => "-",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let (name, port) = (row.kind.name, port(row.kind.port));
        text += &format!(
            "| {name} | {port} | {peer} | {strict} | {} | {} | {came} |\n",
            fact(row.permissive),
            fact(row.strict)
        );
    }
    let of = |wanted: Option<bool>| rows.iter().filter(|row| came_true(row) == wanted).count();
    let handshakes = rows
        .iter()
        .filter(|row| row.kind.said == Said::HandshakeFailure)
        .count();
    text + &format!(
        "\n{} verdicts: {} came true. The {} others hold a certificate of the mesh but speak TLS past the sidecar:\n\
         PERMISSIVE passes that TLS through unread, so nothing shows the certificate; they are told as\n\
         `tls_passthrough`, and STRICT serves them.\n\n\
         {} kinds have no verdict, for no byte of theirs ever reached the application: {handshakes} of them fail in the\n\
         TLS handshake and are counted in `plainsight_handshake_failures_total`; the rest speak TLS to an HTTP port,\n\
         for which istiod has no filter chain under PERMISSIVE.\n",
        of(Some(true)) + of(Some(false)),
        of(Some(true)),
        of(Some(false)),
        of(None)
    )
}

fn port(port: Port) -> &'static str {
    match port {
        Port::Http => "HTTP",
        Port::Tcp => "TCP",
        Port::Auto => "automatic",
        Port::Undeclared => "undeclared",
    }
}

fn fact(fact: &Fact) -> &'static str {
    match fact {
        Fact::Served => "served",
        Fact::Refused(_) => "refused",
    }
}
