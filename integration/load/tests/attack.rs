//! Callers cannot create more series than the bound, and no count is lost.

use plainsight_load::attack::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_addresses_stay_within_the_bound_and_are_counted_exactly() {
    let report = run(Plan {
        addresses: 3_000,
        max_callers: 25,
        identities: 400,
        failing: 400,
        ports: 70,
        at_once: 32,
        waves: 4,
    })
    .await
    .unwrap();
    println!("{report}");
    assert!(report.overflow > 3_000, "{report}");
}
