//! Runs hostile input against the real module and prints a summary: `hostile CASES [SEED [FIRST_ROUND]]`.

use anyhow::{Context, Result};
use plainsight_wasm_host::{
    hostile::{CASES_PER_ROUND, Hostile},
    real_module,
};
use std::time::Instant;

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| {
        argument
            .parse::<u64>()
            .with_context(|| format!("argument: not a number: {argument}"))
    });
    let cases = numbers
        .next()
        .context("argument: number of cases: missing")??;
    let seed = numbers.next().transpose()?.unwrap_or(1);
    let first = numbers.next().transpose()?.unwrap_or(0);
    let proxy = real_module()?;
    let mut hostile = Hostile::new(&proxy, seed);
    let started = Instant::now();
    let rounds = cases.div_ceil(CASES_PER_ROUND);
    for round in first..first + rounds {
        hostile.round(round)?;
        let played = round + 1 - first;
        if played % (rounds / 10).max(1) == 0 {
            eprintln!(
                "hostile: {} cases, {:.0} s",
                hostile.summary.cases,
                started.elapsed().as_secs_f64()
            );
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "seed {seed}, rounds {first} to {}, {seconds:.0} s",
        first + rounds - 1
    );
    println!("{:#?}", hostile.summary);
    println!("no trap, no action but Continue, no forged header, every refused property counted");
    Ok(())
}
