//! Compares verdicts with outcomes and renders the table.

use super::{Counted, Fact, Kind, Place, Verdict};
use crate::callers::CallerProtocol;

/// One kind with its verdict and its outcomes.
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// The verdict under PERMISSIVE.
    pub verdict: Verdict,
    /// The outcome under PERMISSIVE.
    pub permissive: Fact,
    /// The outcome under STRICT.
    pub strict: Fact,
}

impl Row {
    /// Whether the verdict came true; `None` if there is no verdict.
    fn came_true(&self) -> Option<bool> {
        let (_, strict) = self.verdict.as_ref()?;
        Some((strict != "reject") == (self.strict == Fact::Served))
    }

    fn is_served_while_permissive(&self) -> bool {
        // Bytes that are not HTTP get status 400 from an HTTP port.
        self.verdict.is_some()
            && !(self.kind.protocol == CallerProtocol::Bytes && self.kind.place == Place::Http)
    }

    fn problem(&self) -> Option<String> {
        let expected = self.kind.labels(self.kind.permissive);
        let verdict = self.verdict.as_ref();
        let verdict = verdict.map(|(peer, strict)| (peer.as_str(), strict.as_str()));
        let problem = if verdict != expected {
            format!("verdict: expected {expected:?}, got {verdict:?}")
        } else if self.is_served_while_permissive() != (self.permissive == Fact::Served) {
            format!("under PERMISSIVE: {:?}", self.permissive)
        } else if self.came_true() == Some(self.kind.is_exception()) {
            format!("verdict {verdict:?}, under STRICT {:?}", self.strict)
        } else if self.kind.permissive == Counted::HandshakeFailure && self.strict == Fact::Served {
            "failed handshake, but served under STRICT".to_owned()
        } else {
            return None;
        };
        Some(format!("{}: {problem}", self.kind))
    }
}

/// The problems of all kinds whose verdict is unexpected or did not come true. The listed exceptions must really be
/// exceptions.
pub fn check(rows: &[Row]) -> Vec<String> {
    rows.iter().filter_map(Row::problem).collect()
}

/// The page of the proof; `head` is the text above the table.
pub fn markdown(head: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "{head}\n\
         | caller | port | peer | verdict | under PERMISSIVE | under STRICT | came true |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let (peer, strict) = row
            .verdict
            .as_ref()
            .map_or(("-", "(no caller)"), |(peer, strict)| (peer, strict));
        let came_true = match row.came_true() {
            None => "-",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        text += &format!(
            "| {} | {} | {peer} | {strict} | {} | {} | {came_true} |\n",
            row.kind.name,
            row.kind.place.name(),
            fact(&row.permissive),
            fact(&row.strict)
        );
    }
    let of = |outcome| rows.iter().filter(|row| row.came_true() == outcome).count();
    let (right, wrong) = (of(Some(true)), of(Some(false)));
    text + &format!(
        "\n{} verdicts, {right} came true. The {wrong} others are callers that hold a certificate of the mesh but use\n\
         their own TLS: PERMISSIVE passes it through, so the certificate is not visible. They are reported as\n\
         `tls_passthrough`, and STRICT serves them.\n\n\
         No caller ({}): rejected under PERMISSIVE too, or closed without sending a byte.\n\
         `plainsight_handshake_failures_total` counts handshakes that failed because of the client's certificate\n\
         (Envoy 1.37 and later; 1.36 no longer has the reason when the connection closes).\n",
        right + wrong,
        of(None)
    )
}

fn fact(fact: &Fact) -> &'static str {
    match fact {
        Fact::Served => "served",
        Fact::Refused(_) => "refused",
        Fact::NotAsked => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{Stage, kinds};

    /// The rows of a successful proof.
    fn rows(stage: Stage) -> Vec<Row> {
        let row = |kind: Kind| {
            let labels = kind.labels(kind.permissive);
            let verdict = labels.map(|(peer, strict)| (peer.to_owned(), strict.to_owned()));
            let refused = || Fact::Refused("closed".to_owned());
            let mut row = Row {
                kind,
                verdict,
                permissive: Fact::Served,
                strict: match kind.labels(kind.strict) {
                    Some(_) => Fact::Served,
                    None => refused(),
                },
            };
            if !row.is_served_while_permissive() {
                row.permissive = refused();
            }
            row
        };
        kinds(stage).into_iter().map(row).collect()
    }

    #[test]
    fn a_verdict_that_does_not_come_true_is_a_problem() {
        for stage in [Stage::Shapes, Stage::Istiod] {
            assert_eq!(check(&rows(stage)), [""; 0]);
            for at in 0..rows(stage).len() {
                let mut rows = rows(stage);
                let row = &mut rows[at];
                if row.verdict.is_none() {
                    row.permissive = Fact::Served;
                } else if row.strict == Fact::Served {
                    row.strict = Fact::Refused("closed".to_owned());
                } else {
                    row.strict = Fact::Served;
                }
                let problems = check(&rows);
                assert_eq!(problems.len(), 1, "{problems:?}");
                assert!(problems[0].starts_with(&rows[at].kind.to_string()));
            }
        }
    }

    #[test]
    fn an_unexpected_verdict_is_a_problem() {
        let mut rows = rows(Stage::Shapes);
        rows[0].verdict = Some(("plaintext".to_owned(), "reject".to_owned()));
        assert_eq!(check(&rows).len(), 1);
    }
}
