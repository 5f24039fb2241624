//! The proof: every kind of caller calls a PERMISSIVE listener, the filter reports which would break, the same listeners
//! become STRICT, the same callers call again. Every verdict must come true, except for [`Kind::is_exception`].
//!
//! The full text of all metrics is compared, so a caller that is also counted as something else fails the proof,
//! especially a mutual TLS peer that is not counted as mutual TLS.
//!
//! [`Kind::is_exception`]: plainsight_harness::proof::Kind::is_exception

mod expected;
mod stage;

use plainsight_harness::proof::{Row, check, markdown};
use plainsight_harness::shapes::Mode;
use stage::Stage;

#[tokio::test]
async fn every_verdict_comes_true_except_the_listed_exceptions() {
    let mut stage = Stage::start().await;

    let permissive = stage.call_all().await;
    let seen = stage.expect(&expected::after_permissive(&stage)).await;

    stage.switch_to(Mode::Strict).await;
    let strict = stage.call_all().await;
    stage.expect(&expected::after_strict(&stage)).await;

    let facts = permissive.into_iter().zip(strict).enumerate();
    let rows: Vec<_> = facts
        .map(|(index, (permissive, strict))| Row {
            kind: stage.kinds[index],
            verdict: stage.verdict(&seen, index),
            permissive,
            strict,
        })
        .collect();
    let head = format!(
        "<!-- Written by make docs ONLY=proof. -->\n\
         # The proof\n\n\
         Every kind of caller against Envoy {}, with the inbound listeners that istiod generates: the verdict of\n\
         plainsight under PERMISSIVE, and the outcome when the same listeners become STRICT.\n",
        stage.envoy_version()
    );
    let text = markdown(&head, &rows);
    println!("{text}");
    if let Some(path) = std::env::var_os("PLAINSIGHT_PROOF") {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(check(&rows), [""; 0]);
}
