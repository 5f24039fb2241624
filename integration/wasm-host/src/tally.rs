//! What one VM cost its host: entries, calls, allocations, memory.

use std::collections::BTreeMap;

/// Counts since the VM was made; subtract two of them to see what one step cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries from the host into an exported callback, by export name. Absent exports are not entered.
    pub entries: BTreeMap<&'static str, u64>,
    /// Calls from the module to the host, by import name, in the order of names.
    pub calls: BTreeMap<&'static str, u64>,
    /// Entries into the module's allocator, made by the host for bytes it hands over.
    pub allocations: u64,
    /// Size of the linear memory in bytes.
    pub memory: u64,
}

impl Tally {
    /// Callback entries in all.
    pub fn entered(&self) -> u64 {
        self.entries.values().sum()
    }

    /// Host calls in all.
    pub fn called(&self) -> u64 {
        self.calls.values().sum()
    }

    /// What came on top since `before`. Names that did not occur again are left out.
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
