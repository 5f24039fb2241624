//! The checks of the fuzz targets, bounded: any bytes, and bytes that look like what a parser wants. The same on every run;
//! `make fuzz` looks for new ones.

use proptest::{prelude::*, sample::select, test_runner::RngSeed};

#[path = "../../fuzz/checks.rs"]
mod checks;

/// Parts that get a parser deeper than noise does.
const PARTS: [&str; 30] = [
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
    "\"maxCallers\"",
    "\"requestHeader\"",
    "null",
    "1e3",
    "-1",
    "cache.",
    ";.",
    "=.=",
    "é",
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
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_settings_within_their_bounds(bytes in bytes()) {
        checks::configuration(&bytes);
    }

    #[test]
    fn any_bytes_are_an_address_or_none(bytes in bytes()) {
        checks::address(&bytes);
    }

    #[test]
    fn any_bytes_are_a_block_or_none(bytes in bytes()) {
        checks::cidr(&bytes);
    }

    #[test]
    fn any_bytes_are_a_client_hello_or_not(bytes in bytes()) {
        checks::client_hello(&bytes);
    }

    #[test]
    fn any_bytes_become_a_safe_label_value(bytes in bytes()) {
        checks::label_value(&bytes);
    }
}
