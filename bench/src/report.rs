//! What a run found, as `bench.json` holds it and as table and chart are drawn from it.

use serde::Serialize;

use crate::estimate::{Estimate, median};
use crate::goals::{Costs, ENOUGH_ROUNDS, GOALS, Verdict, added_by};
use crate::machine::Machine;
use crate::variant::{Cell, Filter};

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it ended, RFC 3339, UTC.
    pub date: String,
    /// Envoy's version.
    pub envoy: String,
    /// Where it ran.
    pub machine: Machine,
    /// The size of `plainsight.wasm` in bytes.
    pub module_bytes: u64,
    /// How many times each cell was measured.
    pub rounds: usize,
    /// Whether these are enough rounds for a judgement.
    pub judged: bool,
    /// The goals whose ratios were measured.
    pub goals: Vec<Judged>,
    /// The cells, load by load.
    pub cells: Vec<Row>,
}

/// A goal with what came.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// What the ratio says.
    pub what: &'static str,
    /// What it must be.
    pub goal: String,
    /// What it is.
    pub ratio: Estimate,
    /// How the two stand.
    pub verdict: Verdict,
}

/// A cell with its costs.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The load.
    pub workload: String,
    /// The filter.
    pub filter: &'static str,
    /// What the cost is counted per.
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
    /// The report on these costs. Cells without a round are left out.
    #[must_use]
    pub fn new(
        date: String,
        envoy: String,
        machine: Machine,
        module_bytes: u64,
        costs: &Costs,
    ) -> Self {
        let rounds = costs.values().map(Vec::len).min().unwrap_or(0);
        let goals = GOALS.iter().filter_map(|goal| {
            let ratio = goal.ratio.estimate(costs)?;
            Some(Judged {
                what: goal.what,
                goal: goal.bound.to_string(),
                ratio,
                verdict: goal.bound.judge(ratio),
            })
        });
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
            goals: goals.collect(),
            cells: cells.collect(),
        }
    }

    /// The goals that are missed by more than the noise; none when there were too few rounds to tell.
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
        cost: Estimate::over_rounds(measured.len(), |rounds| {
            median(rounds.iter().map(|&round| measured[round]).collect())
        }),
        added: none.map(|none| {
            Estimate::over_rounds(measured.len(), |rounds| added_by(measured, none, rounds))
        }),
        rounds: measured.to_vec(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::variant::{Workload, cells};

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
        Report::new(date, "1.40.0".to_owned(), machine, 80_000, &costs)
    }

    #[test]
    fn a_run_with_too_few_rounds_judges_nothing() {
        assert!(made_up(15).missed().count() > 0);
        assert_eq!(made_up(14).missed().count(), 0);
    }

    #[test]
    fn a_cell_shows_what_it_adds_to_no_filter() {
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
        assert_eq!(json["goals"].as_array().unwrap().len(), GOALS.len());
    }
}
