//! Exactness under load: every counter equals the clients' calls.

use std::time::Duration;

use plainsight_load::load::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_equals_the_clients_calls_and_memory_is_flat() {
    let report = run(Plan {
        rounds: 16,
        at_least: Duration::ZERO,
        each: 10,
        at_once: 48,
        held: 5,
        plainsight: true,
    })
    .await
    .unwrap();
    println!("{report}");
    assert!(report.done.opened() > 3_000, "{report}");
    assert!(report.cut * 100 < report.done.requests(), "{report}");
}
