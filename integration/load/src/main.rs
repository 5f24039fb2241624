//! `make stress ONLY=soak`, `make stress ONLY=attack`, `make stress ONLY=faults`: the large runs, with a report on standard output.

use std::time::Duration;

use anyhow::{Context, bail};
use plainsight_load::{attack, faults, load};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut number = |name: &str| -> anyhow::Result<u32> {
        let text = arguments
            .next()
            .with_context(|| format!("{name}: missing"))?;
        text.parse()
            .with_context(|| format!("{name}: expected a number, got: {text}"))
    };
    match what.as_str() {
        "soak" => soak(number("minutes")?, true).await,
        "soak-bare" => soak(number("minutes")?, false).await,
        "attack" => attack(number("addresses")?).await,
        "faults" => faults().await,
        other => bail!("expected soak, attack or faults, got: {other:?}"),
    }
}

async fn soak(minutes: u32, plainsight: bool) -> anyhow::Result<()> {
    let report = load::run(load::Plan {
        rounds: 12,
        at_least: Duration::from_secs(60 * u64::from(minutes)),
        each: 20,
        at_once: 64,
        held: 10,
        plainsight,
    })
    .await?;
    println!("{report}");
    Ok(())
}

async fn attack(addresses: u32) -> anyhow::Result<()> {
    let report = attack::run(attack::Plan {
        addresses,
        max_callers: 250,
        identities: 5_000,
        failing: 5_000,
        ports: 70,
        at_once: 64,
        waves: 10,
    })
    .await?;
    println!("{report}");
    Ok(())
}

async fn faults() -> anyhow::Result<()> {
    let plan = faults::Plan {
        clients: 16,
        conversations: 2_000,
        drain_seconds: 15,
    };
    println!("{}", faults::remove_and_add(plan).await?);
    println!("{}", faults::reconfigure(plan).await?);
    println!("{}", faults::upgrade(plan).await?);
    println!("{}", faults::drain(plan).await?);
    Ok(())
}
