//! The proof: every kind of caller calls a PERMISSIVE listener, the filter reports who would break, the same listeners
//! become STRICT, the same callers call again. Every verdict must come true, except the exceptions listed here.
//!
//! The full text of all metrics is compared, so a caller that also counts as something else fails the proof: above all
//! a mutual TLS peer that counts as anything but mutual TLS.

mod expected;
mod kinds;
mod stage;
mod table;

use kinds::{KINDS, Verdict};
use plainsight_harness::shapes::Mode;
use stage::{Fact, Stage};

/// Callers with the verdict `reject` that STRICT serves: they hold a certificate of the mesh, but use their own TLS,
/// which PERMISSIVE passes through. STRICT terminates that TLS and requests the certificate. A PERMISSIVE listener
/// cannot see it: in TLS 1.3 the client's certificate is encrypted, and no server requested it.
const EXCEPTIONS: [&str; 4] = [
    "its own TLS 1.2, holding a mesh certificate",
    "its own TLS 1.3, holding a mesh certificate",
    "its own TLS 1.2, holding a mesh certificate",
    "its own TLS 1.3, holding a mesh certificate",
];

#[tokio::test]
async fn every_verdict_comes_true_except_the_listed_exceptions() {
    let mut stage = Stage::start().await;

    let mut permissive = Vec::new();
    for (index, kind) in KINDS.iter().enumerate() {
        permissive.push(stage.call(index, kind).await);
    }
    let seen = stage.expect(&expected::after_permissive(&stage)).await;
    let verdicts: Vec<_> = KINDS
        .iter()
        .enumerate()
        .map(|(index, kind)| stage.verdict(&seen, index, kind))
        .collect();

    stage.switch_to(Mode::Strict).await;
    let mut strict = Vec::new();
    for (index, kind) in KINDS.iter().enumerate() {
        strict.push(stage.call(index, kind).await);
    }
    stage.expect(&expected::after_strict(&stage)).await;

    let rows: Vec<_> = (0..KINDS.len())
        .map(|at| table::Row {
            kind: &KINDS[at],
            verdict: verdicts[at],
            permissive: &permissive[at],
            strict: &strict[at],
        })
        .collect();
    let text = table::markdown(stage.envoy_version(), &rows);
    println!("{text}");
    if let Some(path) = std::env::var_os("PLAINSIGHT_PROOF") {
        std::fs::write(path, &text).unwrap();
    }

    let mut wrong = Vec::new();
    for row in &rows {
        match row.verdict {
            // Allowed and exempt callers are served before and after.
            Verdict::Allow | Verdict::Exempt => {
                assert_eq!(
                    (row.permissive, row.strict),
                    (&Fact::Served, &Fact::Served),
                    "{}",
                    row.kind.name
                );
            }
            Verdict::Reject if *row.strict == Fact::Served => wrong.push(row.kind.name),
            Verdict::Reject => assert!(matches!(row.strict, Fact::Refused(_)), "{}", row.kind.name),
            // No verdict means that the caller did not work under PERMISSIVE either.
            Verdict::None => assert_ne!(row.permissive, &Fact::Served, "{}", row.kind.name),
        }
    }
    assert_eq!(wrong, EXCEPTIONS);
}
