//! Cardinality limits of a worker. Envoy never removes a Wasm metric, so names are never evicted.

use rustc_hash::FxHashSet;
use std::hash::Hash;

/// Max series per name, on average: one per port and kind of connection. Callers can pick any undeclared port.
const SERIES_PER_CALLER: usize = 4;

/// Distinct names, and the number of their series.
#[derive(Debug)]
pub struct CardinalityLimit<T> {
    names: FxHashSet<T>,
    series: usize,
}

impl<T> Default for CardinalityLimit<T> {
    fn default() -> CardinalityLimit<T> {
        CardinalityLimit {
            names: FxHashSet::default(),
            series: 0,
        }
    }
}

/// The decision on a new series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The first series of a new name.
    NewName,
    /// Another series of a known name.
    KnownName,
    /// Beyond the limit.
    Overflow,
}

impl<T: Eq + Hash> CardinalityLimit<T> {
    /// Admits a new series of `name` within `max_names` names and 4 series per name on average.
    pub fn admit(&mut self, name: T, max_names: usize) -> Admission {
        let known = self.names.contains(&name);
        if self.series >= max_names.saturating_mul(SERIES_PER_CALLER)
            || (!known && self.names.len() >= max_names)
        {
            return Admission::Overflow;
        }
        self.series = self.series.saturating_add(1);
        if known {
            return Admission::KnownName;
        }
        self.names.insert(name);
        Admission::NewName
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_admitted_up_to_the_limit_and_kept() {
        let mut limit = CardinalityLimit::default();
        assert_eq!(limit.admit("a", 2), Admission::NewName);
        assert_eq!(limit.admit("b", 2), Admission::NewName);
        assert_eq!(limit.admit("c", 2), Admission::Overflow);
        assert_eq!(limit.admit("a", 2), Admission::KnownName);
    }

    #[test]
    fn the_series_of_a_single_name_are_limited() {
        let mut limit = CardinalityLimit::default();
        let admitted = (0..100).filter(|_| limit.admit("a", 2) != Admission::Overflow);
        assert_eq!(admitted.count(), 8);
        assert_eq!(limit.admit("b", 2), Admission::Overflow);
    }
}
