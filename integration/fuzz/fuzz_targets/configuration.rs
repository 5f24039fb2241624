//! See [`checks::configuration`].
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code)] // Each target calls one of the checks.
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::configuration(bytes));
