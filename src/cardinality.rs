//! Limits on what a worker gives series of its own. Envoy never removes a Wasm metric, so nothing is evicted.

use rustc_hash::FxHashSet;
use std::hash::Hash;

/// Max series of a named caller, on average: ports, and ways to connect. Callers choose undeclared ports.
const SERIES_PER_CALLER: usize = 4;

/// Distinct names, and the series that they have.
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

/// The decision on one more series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The name's first.
    NewName,
    /// Another one of a known name.
    KnownName,
    /// Beyond the limit.
    Overflow,
}

impl<T: Eq + Hash> CardinalityLimit<T> {
    /// Admits one more series of `name`, while there are at most `max_names` names with 4 series each on average.
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
    fn names_are_admitted_up_to_the_limit_and_stay() {
        let mut limit = CardinalityLimit::default();
        assert_eq!(limit.admit("a", 2), Admission::NewName);
        assert_eq!(limit.admit("b", 2), Admission::NewName);
        assert_eq!(limit.admit("c", 2), Admission::Overflow);
        assert_eq!(limit.admit("a", 2), Admission::KnownName);
    }

    #[test]
    fn one_name_cannot_have_any_number_of_series() {
        let mut limit = CardinalityLimit::default();
        let admitted = (0..100).filter(|_| limit.admit("a", 2) != Admission::Overflow);
        assert_eq!(admitted.count(), 8);
        assert_eq!(limit.admit("b", 2), Admission::Overflow);
    }
}
