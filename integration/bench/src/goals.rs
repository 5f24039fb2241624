//! The performance goals, their ratios, and whether a run meets them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::estimate::{Estimate, median};
use crate::variant::{CROWD, Cell, Filter, Workload};

/// CPU microseconds per unit, round by round, of each cell.
pub type Costs = BTreeMap<Cell, Vec<f64>>;

/// With fewer rounds the noise cannot be estimated, so goals are not judged.
pub const ENOUGH_ROUNDS: usize = 15;

/// A quotient of costs.
#[derive(Clone, Copy, Debug)]
pub enum Ratio {
    /// The cost that plainsight adds, relative to the cost that another filter adds.
    Added {
        /// The load under which both are added.
        workload: Workload,
        /// The other filter.
        against: Filter,
    },
    /// Units per CPU second, relative to no filter.
    Throughput {
        /// The load.
        workload: Workload,
        /// The filter whose throughput it is.
        filter: Filter,
    },
    /// The cost of a request with plainsight under one load, relative to another load. If both loads were also measured
    /// without a filter, Envoy's own growth is divided out.
    Growth {
        /// The heavier load.
        of: Workload,
        /// The lighter one.
        from: Workload,
    },
}

/// The bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Not above this.
    AtMost(f64),
    /// Under this.
    Below(f64),
    /// Not under this.
    AtLeast(f64),
    /// Within this distance of 1.
    Flat(f64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "at most {bound:.2}"),
            Self::Below(bound) => write!(f, "below {bound:.2}"),
            Self::AtLeast(bound) => write!(f, "at least {bound:.2}"),
            Self::Flat(bound) => write!(f, "{:.2} to {:.2}", 1.0 - bound, 1.0 + bound),
        }
    }
}

/// One goal.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The meaning of the ratio.
    pub what: &'static str,
    /// The ratio.
    pub ratio: Ratio,
    /// The bound of the ratio.
    pub bound: Bound,
}

/// The goal of a sidecar's memory: resident MiB above the SDK's empty filter.
pub const MEMORY_WHAT: &str = "resident MiB of a sidecar, above the SDK's empty filter";
/// See [`MEMORY_WHAT`].
pub const MEMORY_BOUND: Bound = Bound::AtMost(2.0);

/// The goals of CPU time. Host calls, VM entries and allocations are counted exactly elsewhere, in `wasm-host`.
pub const GOALS: [Goal; 11] = [
    Goal {
        what: "added per mTLS request, against the SDK's empty filter",
        ratio: added(Workload::Http1MutualTls, Filter::SdkEmpty),
        bound: Bound::AtMost(1.45),
    },
    Goal {
        what: "added per plaintext request, against the SDK's empty filter",
        ratio: added(Workload::Http1, Filter::SdkEmpty),
        bound: Bound::AtMost(1.65),
    },
    Goal {
        what: "added per mTLS request, against the Lua filter",
        ratio: added(Workload::Http1MutualTls, Filter::Lua),
        bound: Bound::Below(1.0),
    },
    Goal {
        what: "added per plaintext request, against the Lua filter",
        ratio: added(Workload::Http1, Filter::Lua),
        bound: Bound::AtMost(1.1),
    },
    Goal {
        what: "new plaintext connections per second, against no filter",
        ratio: throughput(Workload::NewConnections, Filter::Both),
        bound: Bound::AtLeast(0.80),
    },
    Goal {
        what: "new mTLS connections per second, against no filter",
        ratio: throughput(Workload::NewMutualTlsConnections, Filter::Both),
        bound: Bound::AtLeast(0.92),
    },
    Goal {
        what: "TCP bytes per second from the client, against no filter",
        ratio: throughput(Workload::TcpUpload, Filter::NetworkOnly),
        bound: Bound::AtLeast(0.97),
    },
    Goal {
        what: "TCP bytes per second to the client, against no filter",
        ratio: throughput(Workload::TcpDownload, Filter::NetworkOnly),
        bound: Bound::AtLeast(0.97),
    },
    Goal {
        what: "cost per request with 100 callers, against 1",
        ratio: growth(Workload::Callers(100), Workload::Callers(1)),
        bound: Bound::Flat(0.05),
    },
    Goal {
        what: "cost per request with 1,000 callers, against 1",
        ratio: growth(Workload::Callers(1_000), Workload::Callers(1)),
        bound: Bound::Flat(0.05),
    },
    Goal {
        what: "cost per request with 10,000 open connections, against 1",
        ratio: growth(Workload::Open(CROWD), Workload::Open(1)),
        bound: Bound::Flat(0.05),
    },
];

const fn added(workload: Workload, against: Filter) -> Ratio {
    Ratio::Added { workload, against }
}

const fn throughput(workload: Workload, filter: Filter) -> Ratio {
    Ratio::Throughput { workload, filter }
}

const fn growth(of: Workload, from: Workload) -> Ratio {
    Ratio::Growth { of, from }
}

/// The result of a run for a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The ratio is within its bound.
    Met,
    /// The ratio is outside, but its interval overlaps the bound.
    WithinNoise,
    /// The whole interval is outside.
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::WithinNoise => "missed within the noise",
            Self::Missed => "MISSED",
        })
    }
}

impl Bound {
    /// The result of comparing this estimate with the bound.
    #[must_use]
    pub fn judge(self, estimate: Estimate) -> Verdict {
        let Estimate { value, low, high } = estimate;
        let (met, reached) = match self {
            Self::AtMost(bound) => (value <= bound, low <= bound),
            Self::Below(bound) => (value < bound, low < bound),
            Self::AtLeast(bound) => (value >= bound, high >= bound),
            Self::Flat(bound) => (
                (value - 1.0).abs() <= bound,
                low <= 1.0 + bound && high >= 1.0 - bound,
            ),
        };
        match (met, reached) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::WithinNoise,
            (false, false) => Verdict::Missed,
        }
    }
}

impl Ratio {
    /// The ratio with its interval, `None` if one of its cells was not measured.
    #[must_use]
    pub fn estimate(self, costs: &Costs) -> Option<Estimate> {
        let cost = |workload, filter| costs.get(&Cell { workload, filter });
        match self {
            Self::Added { workload, against } => {
                let none = cost(workload, Filter::None)?;
                let plainsight = cost(workload, Filter::Both)?;
                let other = cost(workload, against)?;
                Some(Estimate::over_rounds(none.len(), |rounds| {
                    added_by(plainsight, none, rounds) / added_by(other, none, rounds)
                }))
            }
            Self::Throughput { workload, filter } => {
                let none = cost(workload, Filter::None)?;
                let filtered = cost(workload, filter)?;
                Some(Estimate::over_rounds(none.len(), |rounds| {
                    quotient_of(none, filtered, rounds)
                }))
            }
            Self::Growth { of, from } => {
                let heavy = cost(of, Filter::Both)?;
                let light = cost(from, Filter::Both)?;
                let own = cost(of, Filter::None).zip(cost(from, Filter::None));
                Some(Estimate::over_rounds(heavy.len(), |rounds| {
                    let envoys = own.map_or(1.0, |(of, from)| quotient_of(of, from, rounds));
                    quotient_of(heavy, light, rounds) / envoys
                }))
            }
        }
    }
}

/// The median of the cost of `filtered` above `none` in the same round.
#[must_use]
pub fn added_by(filtered: &[f64], none: &[f64], rounds: &[usize]) -> f64 {
    median(rounds.iter().map(|&i| filtered[i] - none[i]).collect())
}

/// The median of the quotients within each round.
fn quotient_of(of: &[f64], by: &[f64], rounds: &[usize]) -> f64 {
    median(rounds.iter().map(|&i| of[i] / by[i]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(of: &[(Workload, Filter, f64)]) -> Costs {
        of.iter()
            .map(|&(workload, filter, cost)| (Cell { workload, filter }, vec![cost; 15]))
            .collect()
    }

    fn exactly(value: f64) -> Estimate {
        Estimate {
            value,
            low: value,
            high: value,
        }
    }

    #[test]
    fn the_added_ratio_excludes_the_cost_of_envoy_without_a_filter() {
        let costs = costs(&[
            (Workload::Http1, Filter::None, 20.0),
            (Workload::Http1, Filter::SdkEmpty, 23.0),
            (Workload::Http1, Filter::Both, 26.0),
        ]);
        let ratio = added(Workload::Http1, Filter::SdkEmpty).estimate(&costs);
        assert_eq!(ratio, Some(exactly(2.0)));
    }

    #[test]
    fn throughput_is_the_inverse_of_cost() {
        let costs = costs(&[
            (Workload::NewConnections, Filter::None, 75.0),
            (Workload::NewConnections, Filter::Both, 100.0),
        ]);
        let ratio = throughput(Workload::NewConnections, Filter::Both).estimate(&costs);
        assert_eq!(ratio, Some(exactly(0.75)));
    }

    #[test]
    fn growth_compares_plainsight_with_itself() {
        let costs = costs(&[
            (Workload::Callers(1), Filter::Both, 20.0),
            (Workload::Callers(100), Filter::Both, 21.0),
        ]);
        let ratio = growth(Workload::Callers(100), Workload::Callers(1)).estimate(&costs);
        assert_eq!(ratio, Some(exactly(1.05)));
    }

    #[test]
    fn growth_excludes_the_growth_of_envoy_itself() {
        let costs = costs(&[
            (Workload::Open(1), Filter::None, 20.0),
            (Workload::Open(CROWD), Filter::None, 25.0),
            (Workload::Open(1), Filter::Both, 24.0),
            (Workload::Open(CROWD), Filter::Both, 33.0),
        ]);
        let ratio = growth(Workload::Open(CROWD), Workload::Open(1)).estimate(&costs);
        assert_eq!(ratio, Some(exactly(1.1)));
    }

    #[test]
    fn a_drift_over_the_run_affects_both_sides_of_a_ratio_equally() {
        let cell = |filter| Cell {
            workload: Workload::Http1,
            filter,
        };
        let drift: Vec<f64> = (0..15).map(f64::from).collect();
        let above = |base: f64| drift.iter().map(|d| base + d).collect::<Vec<f64>>();
        let costs = Costs::from([
            (cell(Filter::None), above(20.0)),
            (cell(Filter::SdkEmpty), above(23.0)),
            (cell(Filter::Both), above(26.0)),
        ]);
        let ratio = added(Workload::Http1, Filter::SdkEmpty).estimate(&costs);
        assert_eq!(ratio, Some(exactly(2.0)));
    }

    #[test]
    fn a_ratio_with_an_unmeasured_side_is_absent() {
        let costs = costs(&[(Workload::Http1, Filter::None, 20.0)]);
        assert_eq!(added(Workload::Http1, Filter::Lua).estimate(&costs), None);
    }

    #[test]
    fn a_goal_is_missed_only_if_the_whole_interval_is_outside() {
        let around = |value: f64| Estimate {
            value,
            low: value - 0.1,
            high: value + 0.1,
        };
        let cases = [
            (Bound::AtMost(1.3), 1.25, Verdict::Met),
            (Bound::AtMost(1.3), 1.35, Verdict::WithinNoise),
            (Bound::AtMost(1.3), 1.55, Verdict::Missed),
            (Bound::Below(1.0), 0.95, Verdict::Met),
            (Bound::Below(1.0), 1.05, Verdict::WithinNoise),
            (Bound::Below(1.0), 1.2, Verdict::Missed),
            (Bound::AtLeast(0.9), 0.95, Verdict::Met),
            (Bound::AtLeast(0.9), 0.85, Verdict::WithinNoise),
            (Bound::AtLeast(0.9), 0.75, Verdict::Missed),
            (Bound::Flat(0.05), 0.96, Verdict::Met),
            (Bound::Flat(0.05), 1.1, Verdict::WithinNoise),
            (Bound::Flat(0.05), 0.8, Verdict::Missed),
            (Bound::Flat(0.05), 1.2, Verdict::Missed),
        ];
        for (bound, value, verdict) in cases {
            assert_eq!(bound.judge(around(value)), verdict, "{bound}, {value}");
        }
    }

    #[test]
    fn a_ratio_without_a_value_meets_no_goal() {
        assert_eq!(Bound::AtMost(1.3).judge(exactly(f64::NAN)), Verdict::Missed);
    }

    #[test]
    fn a_full_run_measures_the_cells_of_every_goal() {
        let every = crate::variant::cells(&Workload::ALL, false);
        let costs: Costs = every
            .into_iter()
            .map(|cell| (cell, vec![1.0; 15]))
            .collect();
        for goal in GOALS {
            assert!(goal.ratio.estimate(&costs).is_some(), "{}", goal.what);
        }
    }
}
