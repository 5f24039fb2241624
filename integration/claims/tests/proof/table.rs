//! The proof as a table for readers.

use crate::kinds::{Kind, Place, Verdict};
use crate::stage::Fact;

pub struct Row<'a> {
    pub kind: &'a Kind,
    pub verdict: Verdict,
    pub permissive: &'a Fact,
    pub strict: &'a Fact,
}

pub fn markdown(envoy: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "<!-- Written by make proof. -->\n\
         # The proof\n\n\
         Every kind of caller against Envoy {envoy}, with the inbound listeners that istiod generates: the verdict of\n\
         plainsight under PERMISSIVE, and the outcome when the same listeners become STRICT.\n\n\
         | caller | port | verdict | under PERMISSIVE | under STRICT | came true |\n\
         |---|---|---|---|---|---|\n"
    );
    for row in rows {
        let verdict = match row.verdict {
            Verdict::Allow => "allow",
            Verdict::Reject => "reject",
            Verdict::Exempt => "exempt",
            Verdict::None => "(no caller)",
        };
        text += &format!(
            "| {} | {} | {verdict} | {} | {} | {} |\n",
            row.kind.name,
            place(row.kind.port),
            fact(row.permissive),
            fact(row.strict),
            came_true(row)
        );
    }
    let judged = rows
        .iter()
        .filter(|row| row.verdict != Verdict::None)
        .count();
    let wrong = rows.iter().filter(|row| came_true(row) == "**no**").count();
    text += &format!(
        "\n{judged} verdicts, {} came true. The {wrong} others are callers that hold a certificate of the mesh but use\n\
         their own TLS: PERMISSIVE passes it through, so the certificate is not visible. They are reported as\n\
         `tls_passthrough`, and STRICT serves them.\n\n\
         No caller: rejected before the switch too, or closed without a byte. `plainsight_handshake_failures_total`\n\
         counts handshakes that failed because of the client's certificate (Envoy 1.37 and later; 1.36 has no reason\n\
         left when the connection closes).\n",
        judged - wrong
    );
    text
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Http => "HTTP",
        Place::Tcp => "TCP",
        Place::Auto => "auto",
        Place::Undeclared => "undeclared",
        Place::Exempt => "exempt",
        Place::OwnTls => "HTTP, own TLS",
        Place::Hbone => "HTTP, inner",
    }
}

fn fact(fact: &Fact) -> &'static str {
    match fact {
        Fact::Served => "served",
        Fact::Refused(_) => "refused",
        Fact::NotAsked => "-",
    }
}

fn came_true(row: &Row) -> &'static str {
    match (row.verdict, row.strict) {
        (Verdict::None, _) => "-",
        (Verdict::Allow | Verdict::Exempt, Fact::Served) | (Verdict::Reject, Fact::Refused(_)) => {
            "yes"
        }
        _ => "**no**",
    }
}
