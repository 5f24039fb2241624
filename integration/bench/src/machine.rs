//! The properties of the machine, to put the numbers into context.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// The properties of a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// The number of CPUs.
    pub cpus: usize,
    /// The memory in GiB, rounded.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    /// `/proc` is not Linux's.
    pub fn this() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let processor = field(&cpuinfo, "model name").context("/proc/cpuinfo: no model name")?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let kib: u64 = field(&meminfo, "MemTotal")
            .and_then(|total| total.strip_suffix(" kB")?.parse().ok())
            .context("/proc/meminfo: MemTotal: expected a number of kB")?;
        Ok(Self {
            processor: processor.to_owned(),
            cpus: cpuinfo
                .lines()
                .filter(|l| l.starts_with("processor"))
                .count(),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        })
    }
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let machine = Machine::this().unwrap();
        assert!(machine.cpus > 0 && machine.memory_gib > 0, "{machine:?}");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "model name"), Some("Some CPU"));
        assert_eq!(field(text, "name"), None);
    }
}
