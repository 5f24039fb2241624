//! A bounded, deterministic run of the fuzz targets' checks. `make fuzz` searches for new cases.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use proptest::{prelude::*, sample::select, test_runner::RngSeed};

#[path = "checks.rs"]
mod checks;

/// Parts that get further into the parsers than random bytes.
const PARTS: [&str; 32] = [
    "10.0.0.7",
    "fd00::1",
    "::ffff:10.0.0.7",
    "[",
    "]",
    ":",
    ":8080",
    ":65536",
    "/",
    "/8",
    "/129",
    "%eth0",
    "{",
    "}",
    "[]",
    ",",
    "\"",
    "\"callers\"",
    "\"cidr\"",
    "\"name\"",
    "\"exempt\"",
    "\"port\"",
    "\"maxCallers\"",
    "\"requestHeader\"",
    "\"responseHeaders\"",
    "null",
    "1e3",
    "-1",
    "cache.",
    ";.",
    "\u{e9}",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => select(&PARTS[..]).prop_map(|part| part.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_harmless_to_every_parser(bytes in bytes()) {
        checks::address(&bytes);
        checks::block(&bytes);
        checks::client_hello(&bytes);
        checks::configuration(&bytes);
        checks::label_value(&bytes);
    }
}
