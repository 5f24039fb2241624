//! Exactness under load, attack and faults. One binary, because most of the time is spent waiting for the next flush of
//! the counts.

use std::time::Duration;

use plainsight_load::faults::{drain, reconfigure, remove_and_add, upgrade};
use plainsight_load::{attack, faults, load};

/// Eight rounds are the fewest samples that `Memory::is_flat` judges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_equals_the_clients_calls_and_memory_is_flat() {
    let report = load::run(load::Plan {
        rounds: 8,
        at_least: Duration::ZERO,
        each: 20,
        at_once: 48,
        held: 10,
        plainsight: true,
    })
    .await
    .unwrap();
    println!("{report}");
    assert!(report.done.opened() > 3_000, "{report}");
    assert!(report.cut * 100 < report.done.requests(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_addresses_stay_within_the_bound_and_are_counted_exactly() {
    let report = attack::run(attack::Plan {
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

const FAULTS: faults::Plan = faults::Plan {
    clients: 6,
    conversations: 100,
    drain_seconds: 5,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_removed_and_added_again_without_a_failed_request() {
    println!("{}", remove_and_add(FAULTS).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_configuration_under_load_loses_no_count_and_counters_continue() {
    let report = reconfigure(FAULTS).await.unwrap();
    println!("{report}");
    assert_eq!(report.calls_counted, report.calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_upgraded_under_load_without_a_failed_request() {
    println!("{}", upgrade(FAULTS).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_drain_without_a_failed_request() {
    let report = drain(FAULTS).await.unwrap();
    println!("{report}");
    assert_eq!(report.calls_counted, report.calls);
}
