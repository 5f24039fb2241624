//! The proof with istiod's own listeners: every kind of caller calls under PERMISSIVE, the filter reports who would break,
//! the namespace becomes STRICT, the same callers call again. Every verdict must come true, except for those listed
//! here.

mod callers;
mod kinds;

mod table;

use callers::{Callers, Fact, Verdict, handshake_failures, verdict};
use kinds::{Kind, Said, kinds};
use plainsight_harness::eventually::eventually;
use plainsight_istio::mesh::Port;

/// Verdict `reject`, but served under STRICT: callers with a mesh certificate whose own TLS PERMISSIVE passes through.
/// STRICT terminates that TLS and accepts the certificate.
const EXCEPTIONS: [&str; 2] = [
    "its own TLS 1.3, holding a mesh certificate",
    "its own TLS 1.2, holding a mesh certificate",
];

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

fn expected(said: Said) -> Verdict {
    let (peer, strict) = match said {
        Said::Mutual => ("mutual_tls", "allow"),
        Said::Plaintext => ("plaintext", "reject"),
        Said::Passthrough => ("tls_passthrough", "reject"),
        Said::HandshakeFailure | Said::NoChain => return None,
    };
    Some((peer.to_owned(), strict.to_owned()))
}

async fn ask_all(callers: &Callers, kinds: &[Kind]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        facts.push(callers.ask(number(index), kind).await);
    }
    facts
}

#[tokio::test]
async fn every_verdict_comes_true_with_istiods_own_listeners() {
    let kinds = kinds();
    let callers = Callers::start(serde_json::json!({"config": {"principals": true}})).await;

    let permissive = ask_all(&callers, &kinds).await;
    // A failed handshake is counted when Envoy closes the connection, a moment after the caller sees it.
    let verdicts = eventually("verdicts", || async {
        let scrape = callers.stage.mesh.scrape().await?;
        let mut verdicts = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let came = verdict(&scrape, number(index), kind.port);
            anyhow::ensure!(
                came == expected(kind.said),
                "{} at {:?}: {came:?}",
                kind.name,
                kind.port
            );
            let failures = handshake_failures(&scrape, number(index));
            let wanted = if kind.said == Said::HandshakeFailure {
                1.0
            } else {
                0.0
            };
            anyhow::ensure!(
                failures == wanted,
                "{} at {:?}: {failures} failed handshakes",
                kind.name,
                kind.port
            );
            verdicts.push(came);
        }
        Ok(verdicts)
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));
    for (kind, fact) in kinds.iter().zip(&permissive) {
        // Plain bytes get a 400 from an HTTP port; callers without a verdict were never served.
        let is_served = expected(kind.said).is_some()
            && !(kind.name == "plain bytes" && kind.port == Port::Http);
        assert_eq!(
            *fact == Fact::Served,
            is_served,
            "{} at {:?}: {fact:?}",
            kind.name,
            kind.port
        );
    }

    callers
        .stage
        .declare(plainsight_istio::strict::NAMESPACE, Port::Http, false)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let strict = ask_all(&callers, &kinds).await;

    let rows: Vec<_> = (0..kinds.len())
        .map(|at| table::Row {
            kind: &kinds[at],
            verdict: &verdicts[at],
            permissive: &permissive[at],
            strict: &strict[at],
        })
        .collect();
    for row in &rows {
        let is_exception = EXCEPTIONS.contains(&row.kind.name);
        let came_true = table::came_true(row);
        assert_eq!(
            came_true,
            row.verdict.as_ref().map(|_| !is_exception),
            "{} at {:?}: said {:?}, under STRICT {:?}",
            row.kind.name,
            row.kind.port,
            row.verdict,
            row.strict
        );
        if row.kind.said == Said::HandshakeFailure {
            assert!(
                matches!(row.strict, Fact::Refused(_)),
                "{} at {:?}",
                row.kind.name,
                row.kind.port
            );
        }
    }
    if let Some(file) = std::env::var_os("PLAINSIGHT_ISTIO_PROOF") {
        std::fs::write(file, table::markdown(&rows)).unwrap();
    }
}
