//! The cost of a VM: entries, host calls, allocations, memory.

use std::collections::BTreeMap;

/// Counts since the VM was started; the difference of two is the cost of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries into exported callbacks, by export name.
    pub entries: BTreeMap<&'static str, u64>,
    /// Calls from the module to the host, by import name, in the order of names.
    pub calls: BTreeMap<&'static str, u64>,
    /// Entries into the module's allocator, for bytes that the host returns.
    pub allocations: u64,
    /// Size of the linear memory in bytes.
    pub memory: u64,
}

impl Tally {
    /// The total of callback entries.
    pub fn entered(&self) -> u64 {
        self.entries.values().sum()
    }

    /// The total of host calls.
    pub fn called(&self) -> u64 {
        self.calls.values().sum()
    }

    /// The difference to `before`. Names without new counts are omitted.
    pub fn since(&self, before: &Self) -> Self {
        let Self {
            entries,
            calls,
            allocations,
            memory,
        } = self;
        Self {
            entries: differences(entries, &before.entries),
            calls: differences(calls, &before.calls),
            allocations: allocations - before.allocations,
            memory: memory - before.memory,
        }
    }
}

fn differences(
    now: &BTreeMap<&'static str, u64>,
    before: &BTreeMap<&'static str, u64>,
) -> BTreeMap<&'static str, u64> {
    now.iter()
        .map(|(name, count)| (*name, count - before.get(name).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect()
}
