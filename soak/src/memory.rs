//! Memory of the Envoy process over time, and whether it is flat.

use anyhow::{Context, ensure};

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

/// One sample after each round.
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

    /// How much the last quarter's mean is above the second quarter's, in KiB; negative when it is below.
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
    /// Too few samples to tell, or more than that, with the samples.
    pub fn is_flat(&self, allowed_kib: u64) -> anyhow::Result<()> {
        ensure!(
            self.samples.len() >= 8,
            "memory: {} samples: at least 8 tell",
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
    fn few_samples_tell_nothing() {
        assert!(memory([1, 1, 1]).is_flat(1000).is_err());
    }

    #[test]
    fn this_process_has_resident_memory() {
        assert!(resident_kib(std::process::id()).unwrap() > 1000);
        assert!(resident_kib(u32::MAX).is_err());
    }
}
