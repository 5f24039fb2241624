//! Operations on a proxy under load lose no request and no count.

use plainsight_load::faults::{Plan, drain, reconfigure, remove_and_add, upgrade};

const PLAN: Plan = Plan {
    clients: 6,
    conversations: 100,
    drain_seconds: 5,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_removed_and_added_again_without_a_failed_request() {
    println!("{}", remove_and_add(PLAN).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_configuration_under_load_loses_no_count_and_counters_continue() {
    let report = reconfigure(PLAN).await.unwrap();
    println!("{report}");
    assert_eq!(report.calls_counted, report.calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_upgraded_under_load_without_a_failed_request() {
    println!("{}", upgrade(PLAN).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_drain_without_a_failed_request() {
    let report = drain(PLAN).await.unwrap();
    println!("{report}");
    assert_eq!(report.calls_counted, report.calls);
}
