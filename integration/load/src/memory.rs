//! Memory of the Envoy process over time, and whether it is flat.
//!
//! Envoy's own memory grows with every connection for a while, with and without a filter (`make stress/soak-bare`), so
//! the strict check is on the linear memories of the filter's VMs: they must not grow at all.

use anyhow::{Context, ensure};

/// One page of a linear memory, in KiB
/// (<https://webassembly.github.io/spec/core/exec/runtime.html#page-size>).
pub const PAGE_KIB: u64 = 64;

/// Resident memory of a process in KiB: `VmRSS`
/// (<https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>).
///
/// # Errors
/// The process is gone.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: cannot read"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{path}: VmRSS: expected a number of kB, got nothing"))
}

/// The sum of the linear memories of all Wasm VMs of a process, in KiB.
///
/// # Errors
/// The process is gone, or has none.
pub fn linear_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/maps");
    let maps = std::fs::read_to_string(&path).with_context(|| format!("{path}: cannot read"))?;
    let sizes = linear_memories(&maps);
    ensure!(
        !sizes.is_empty(),
        "{path}: no linear memory: is there a VM?"
    );
    Ok(sizes.iter().sum())
}

/// V8 maps the rest of 8 GiB after a linear memory as inaccessible, so that accesses need no bounds checks
/// (<https://github.com/v8/v8/blob/main/src/objects/backing-store.cc>).
fn linear_memories(maps: &str) -> Vec<u64> {
    const GUARD: u64 = 4 << 30;
    let mut sizes = Vec::new();
    let mut before: Option<(u64, u64)> = None;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let range = words.next().and_then(|range| range.split_once('-'));
        let (Some((start, end)), Some(access)) = (range, words.next()) else {
            continue;
        };
        let parse = |address| u64::from_str_radix(address, 16).unwrap_or_default();
        let (start, end) = (parse(start), parse(end));
        if access.starts_with("---")
            && end.saturating_sub(start) >= GUARD
            && let Some((memory, memory_end)) = before
            && memory_end == start
        {
            sizes.push((memory_end - memory) / 1024);
        }
        before = access.starts_with("rw").then_some((start, end));
    }
    sizes
}

/// Samples of one size, one after each round, in KiB.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    samples: Vec<u64>,
}

impl Memory {
    /// Takes a sample, in KiB.
    pub fn record(&mut self, kib: u64) {
        self.samples.push(kib);
    }

    /// The samples, in KiB.
    pub fn samples(&self) -> &[u64] {
        &self.samples
    }

    /// The difference between the means of the last and the second quarter, in KiB; the first quarter is
    /// for warming up.
    pub fn drift_kib(&self) -> i64 {
        let count = self.samples.len();
        let mean = |samples: &[u64]| {
            i64::try_from(samples.iter().sum::<u64>() / samples.len().max(1) as u64)
                .unwrap_or(i64::MAX)
        };
        let early = mean(self.samples.get(count / 4..count / 2).unwrap_or_default());
        let late = mean(self.samples.get(count * 3 / 4..).unwrap_or_default());
        late - early
    }

    /// Whether memory is flat: a drift of at most `allowed_kib`.
    ///
    /// # Errors
    /// Too few samples, or more growth than that, with the samples.
    pub fn is_flat(&self, allowed_kib: u64) -> anyhow::Result<()> {
        ensure!(
            self.samples.len() >= 8,
            "memory: {} samples: expected at least 8",
            self.samples.len()
        );
        let drift = self.drift_kib();
        ensure!(
            drift <= i64::try_from(allowed_kib).unwrap_or(i64::MAX),
            "memory: grew by {drift} KiB, allowed {allowed_kib}: {:?}",
            self.samples
        );
        Ok(())
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Twenty readings show a trend.
        let step = self.samples.len().div_ceil(20).max(1);
        let shown: Vec<_> = self
            .samples
            .iter()
            .step_by(step)
            .map(|kib| format!("{:.1}", *kib as f64 / 1024.0))
            .collect();
        write!(
            f,
            "{} MiB; last quarter against the second: {} KiB",
            shown.join(" "),
            self.drift_kib()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(samples: impl IntoIterator<Item = u64>) -> Memory {
        let mut memory = Memory::default();
        samples.into_iter().for_each(|sample| memory.record(sample));
        memory
    }

    #[test]
    fn warming_up_and_noise_are_flat() {
        let noisy = [10, 500, 900, 910, 905, 890, 915, 900, 912, 899, 903, 908];
        memory(noisy).is_flat(20).unwrap();
    }

    #[test]
    fn a_steady_leak_is_not_flat() {
        let leak = memory((0..16).map(|round| 1000 + 10 * round));
        assert!(leak.is_flat(20).is_err());
        assert_eq!(leak.drift_kib(), 80);
    }

    #[test]
    fn few_samples_are_an_error() {
        assert!(memory([1, 1, 1]).is_flat(1000).is_err());
    }

    #[test]
    fn this_process_has_resident_memory_and_no_vm() {
        assert!(resident_kib(std::process::id()).unwrap() > 1000);
        assert!(linear_kib(std::process::id()).is_err());
        assert!(resident_kib(u32::MAX).is_err());
    }

    #[test]
    fn a_linear_memory_is_the_mapping_before_a_guard_region() {
        let maps = "\
            2c0000000000-2c0000040000 rw-p 00000000 00:00 0\n\
            2c0000040000-2c0200040000 ---p 00000000 00:00 0\n\
            7f0000000000-7f0000010000 rw-p 00000000 00:00 0 [heap]\n\
            7f0000010000-7f0000020000 ---p 00000000 00:00 0\n\
            7f1000000000-7f1000010000 r--p 00000000 00:00 0\n\
            7f1000010000-7f1200010000 ---p 00000000 00:00 0\n";
        assert_eq!(linear_memories(maps), [256]);
    }
}
