//! The result of a run, for `bench.json` and the table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::estimate::{Estimate, median};
use crate::goals::{
    Bound, Costs, ENOUGH_ROUNDS, GOALS, MEMORY_BOUND, MEMORY_WHAT, Verdict, added_by,
};
use crate::machine::Machine;
use crate::memory::Memory;
use crate::variant::{Cell, Filter, Workload};

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it ended, RFC 3339, UTC.
    pub date: String,
    /// Envoy's version.
    pub envoy: String,
    /// The machine that it ran on.
    pub machine: Machine,
    /// The size of `plainsight.wasm` in bytes.
    pub module_bytes: u64,
    /// The number of measurements of each cell.
    pub rounds: usize,
    /// Whether there were enough rounds to judge the goals.
    pub judged: bool,
    /// The goals whose ratios were measured.
    pub goals: Vec<Judged>,
    /// The cost for an operator.
    pub sidecar: Sidecar,
    /// The cells, load by load.
    pub cells: Vec<Row>,
    /// Resident MiB of each round, by filter.
    pub memory: BTreeMap<&'static str, Vec<f64>>,
}

/// The cost of plainsight in a sidecar. Values that were not measured are absent.
#[derive(Debug, Serialize)]
pub struct Sidecar {
    /// Percent of a core at [`REQUESTS_PER_SECOND`], mutual TLS.
    pub mutual_tls_percent: Option<Estimate>,
    /// The same for plaintext.
    pub plaintext_percent: Option<Estimate>,
    /// Resident MiB of Envoy without a filter.
    pub mib_without: Option<Estimate>,
    /// Resident MiB that the SDK's empty filter adds.
    pub mib_empty_filter: Option<Estimate>,
    /// Resident MiB that plainsight adds.
    pub mib: Option<Estimate>,
}

/// The reference load for a sidecar's CPU usage.
pub const REQUESTS_PER_SECOND: f64 = 500.0;

impl Sidecar {
    fn new(costs: &Costs, memory: &Memory) -> Self {
        let percent = |workload| {
            let cost = |filter| costs.get(&Cell { workload, filter });
            let (none, both) = (cost(Filter::None)?, cost(Filter::Both)?);
            // Microseconds per second are millionths of a core.
            let percent = REQUESTS_PER_SECOND / 1e6 * 100.0;
            Some(Estimate::over_rounds(none.len(), |rounds| {
                added_by(both, none, rounds) * percent
            }))
        };
        let without = memory.get(&Filter::None);
        Self {
            mutual_tls_percent: percent(Workload::Http1MutualTls),
            plaintext_percent: percent(Workload::Http1),
            mib_without: without.map(|mib| median_of(mib)),
            mib_empty_filter: difference(memory, Filter::SdkEmpty, Filter::None),
            mib: difference(memory, Filter::Both, Filter::None),
        }
    }
}

fn median_of(measured: &[f64]) -> Estimate {
    Estimate::over_rounds(measured.len(), |rounds| {
        median(rounds.iter().map(|&round| measured[round]).collect())
    })
}

/// The median of the memory of one filter above another in the same round.
fn difference(memory: &Memory, of: Filter, above: Filter) -> Option<Estimate> {
    let (of, above) = (memory.get(&of)?, memory.get(&above)?);
    Some(Estimate::over_rounds(of.len(), |rounds| {
        added_by(of, above, rounds)
    }))
}

fn judged(what: &'static str, bound: Bound, ratio: Estimate) -> Judged {
    Judged {
        what,
        goal: bound.to_string(),
        ratio,
        verdict: bound.judge(ratio),
    }
}

/// A goal with its result.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The meaning of the ratio.
    pub what: &'static str,
    /// The bound of the ratio.
    pub goal: String,
    /// The measured ratio.
    pub ratio: Estimate,
    /// Whether the goal is met.
    pub verdict: Verdict,
}

/// A cell with its costs.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The load.
    pub workload: String,
    /// The filter.
    pub filter: &'static str,
    /// The unit of the cost: per request, connection or byte.
    pub unit: &'static str,
    /// CPU microseconds per unit.
    pub cost: Estimate,
    /// CPU microseconds per unit above no filter under the same load, absent for no filter itself and for loads
    /// without it.
    pub added: Option<Estimate>,
    /// CPU microseconds per unit of each round.
    pub rounds: Vec<f64>,
}

impl Report {
    /// The report on these costs. Cells without a round are omitted.
    #[must_use]
    pub fn new(
        date: String,
        envoy: String,
        machine: Machine,
        module_bytes: u64,
        costs: &Costs,
        memory: &Memory,
    ) -> Self {
        let rounds = costs.values().chain(memory.values());
        let rounds = rounds.map(Vec::len).min().unwrap_or(0);
        let goals = GOALS.iter().filter_map(|goal| {
            let ratio = goal.ratio.estimate(costs)?;
            Some(judged(goal.what, goal.bound, ratio))
        });
        let memory_goal = difference(memory, Filter::Both, Filter::SdkEmpty)
            .map(|mib| judged(MEMORY_WHAT, MEMORY_BOUND, mib));
        let cells = costs
            .iter()
            .map(|(&cell, measured)| row(cell, measured, costs));
        Self {
            date,
            envoy,
            machine,
            module_bytes,
            rounds,
            judged: rounds >= ENOUGH_ROUNDS,
            goals: goals.chain(memory_goal).collect(),
            sidecar: Sidecar::new(costs, memory),
            cells: cells.collect(),
            memory: memory
                .iter()
                .map(|(filter, mib)| (filter.as_str(), mib.clone()))
                .collect(),
        }
    }

    /// The goals that are missed by more than the noise; none with too few rounds.
    pub fn missed(&self) -> impl Iterator<Item = &Judged> {
        self.goals
            .iter()
            .filter(|goal| self.judged && goal.verdict == Verdict::Missed)
    }

    /// The cells of one load.
    pub fn under<'a>(&'a self, workload: &str) -> impl Iterator<Item = &'a Row> {
        self.cells
            .iter()
            .filter(move |row| row.workload == workload)
    }
}

fn row(cell: Cell, measured: &[f64], costs: &Costs) -> Row {
    let baseline = Cell {
        filter: Filter::None,
        ..cell
    };
    let none = (cell != baseline).then(|| costs.get(&baseline)).flatten();
    Row {
        workload: cell.workload.to_string(),
        filter: cell.filter.as_str(),
        unit: cell.workload.unit(),
        cost: median_of(measured),
        added: none.map(|none| {
            Estimate::over_rounds(measured.len(), |rounds| added_by(measured, none, rounds))
        }),
        rounds: measured.to_vec(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::variant::cells;

    /// A report on made-up costs: each filter costs one microsecond more than the one before it.
    pub(crate) fn made_up(rounds: usize) -> Report {
        let costs: Costs = cells(&Workload::ALL, false)
            .into_iter()
            .map(|cell| {
                let filters = cell.workload.filters();
                let place = filters.iter().position(|&f| f == cell.filter).unwrap();
                (cell, vec![20.0 + place as f64; rounds])
            })
            .collect();
        let machine = Machine {
            processor: "Some CPU".to_owned(),
            cpus: 2,
            memory_gib: 4,
            kernel: "6.1".to_owned(),
        };
        let date = "2026-01-01T00:00:00Z".to_owned();
        let mib = |mib| vec![mib; rounds];
        let memory = [
            (Filter::None, mib(65.0)),
            (Filter::SdkEmpty, mib(90.0)),
            (Filter::Both, mib(91.5)),
        ];
        let memory = Memory::from(memory);
        Report::new(date, "1.40.0".to_owned(), machine, 80_000, &costs, &memory)
    }

    #[test]
    fn a_run_with_too_few_rounds_judges_nothing() {
        assert!(made_up(15).missed().count() > 0);
        assert_eq!(made_up(14).missed().count(), 0);
    }

    #[test]
    fn a_cell_shows_its_cost_above_no_filter() {
        let report = made_up(15);
        let added: Vec<Option<f64>> = report
            .under("http1-mtls")
            .map(|row| row.added.map(|added| added.value))
            .collect();
        assert_eq!(added, [None, Some(1.0), Some(2.0), Some(3.0)]);
    }

    #[test]
    fn the_json_names_date_envoy_machine_and_each_round() {
        let json = serde_json::to_value(made_up(15)).unwrap();
        assert_eq!(json["date"], "2026-01-01T00:00:00Z");
        assert_eq!(json["envoy"], "1.40.0");
        assert_eq!(json["machine"]["cpus"], 2);
        assert_eq!(json["cells"][0]["rounds"].as_array().unwrap().len(), 15);
        let memory = json["memory"]["plainsight, both"].as_array().unwrap();
        assert_eq!(memory.len(), 15);
        assert_eq!(json["goals"].as_array().unwrap().len(), GOALS.len() + 1);
    }

    #[test]
    fn the_cost_of_a_sidecar_is_the_added_cpu_at_500_requests_a_second_and_the_added_memory() {
        let report = made_up(15);
        let value = |estimate: Option<Estimate>| estimate.unwrap().value;
        // 3 microseconds added.
        assert!((value(report.sidecar.mutual_tls_percent) - 0.15).abs() < 1e-9);
        assert_eq!(value(report.sidecar.mib), 26.5);
        let goal = report
            .goals
            .iter()
            .find(|goal| goal.what == MEMORY_WHAT)
            .unwrap();
        assert_eq!((goal.ratio.value, goal.verdict), (1.5, Verdict::Met));
    }
}
