//! A bounded run of hostile input; `make stress ONLY=hostile` is the long run.

use plainsight_wasm_host::{
    hostile::{CASES_PER_ROUND, Hostile},
    real_module,
};

/// Cases in every test run, always the same.
const CASES: u64 = 20_000;

#[test]
fn the_module_survives_twenty_thousand_hostile_cases() {
    let proxy = real_module().unwrap();
    let mut hostile = Hostile::new(&proxy, 1);
    for round in 0..CASES / CASES_PER_ROUND {
        hostile.round(round).unwrap();
    }
    let summary = &hostile.summary;
    assert_eq!(summary.cases, CASES);
    // The run was really hostile.
    assert!(summary.property_errors > 1_000, "{summary:?}");
    assert!(summary.configurations_with_problems > 50, "{summary:?}");
    assert!(
        summary.errors_counted >= summary.property_errors / 2,
        "{summary:?}"
    );
}
