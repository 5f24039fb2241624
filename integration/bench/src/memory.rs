//! The memory of a sidecar: resident memory of one Envoy after a load, with and without a filter.
//!
//! Each reading is of a fresh process, so that no filter affects the next one.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::bootstrap::{DIRECT, Modules};
use crate::load::Limit;
use crate::load::client::{Clients, LOCALHOST};
use crate::rig::{KEEP_ALIVE, Rig};
use crate::variant::{Chain, Filter, Listener};

/// The filters whose memory is compared.
pub const FILTERS: [Filter; 3] = [Filter::None, Filter::SdkEmpty, Filter::Both];

/// Worker threads: Istio's default for a sidecar.
const WORKERS: u32 = 2;

/// Requests before the reading: V8 has compiled the hot functions by then.
const REQUESTS: Limit = Limit::Units(20_000);

/// MiB of resident memory, round by round, of each filter.
pub type Memory = BTreeMap<Filter, Vec<f64>>;

/// Reads the memory of each filter in this many rounds.
///
/// # Errors
/// Envoy does not start or does not serve.
pub async fn measure(modules: &Modules, rounds: usize) -> Result<Memory> {
    let mut memory = Memory::new();
    for round in 1..=rounds {
        for filter in FILTERS {
            let mib = resident(modules, filter)
                .await
                .with_context(|| format!("memory, {}", filter.as_str()))?;
            memory.entry(filter).or_default().push(mib);
        }
        eprintln!("bench: memory: round {round} of {rounds}");
    }
    Ok(memory)
}

async fn resident(modules: &Modules, filter: Filter) -> Result<f64> {
    let chain = Chain::Plaintext;
    let listener = Listener { chain, filter };
    let rig = Rig::start(modules, &[listener], None, WORKERS).await?;
    let sources = vec![LOCALHOST; KEEP_ALIVE];
    let mut clients = Clients::open(rig.target(listener)?, DIRECT, sources).await?;
    clients.send(REQUESTS).await?;
    let path = format!("/proc/{}/status", rig.envoy.pid());
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    mib(&status).with_context(|| format!("{path}: VmRSS: expected a number of kB"))
}

fn mib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_mebibytes() {
        assert_eq!(mib("VmSize:\t 9 kB\nVmRSS:\t  66560 kB\n"), Some(65.0));
        assert_eq!(mib("VmRSS:\t many\n"), None);
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert!(mib(&own).unwrap() > 1.0);
    }
}
