//! `plainsight-bench [--rounds N] [--only WORKLOAD[,WORKLOAD]] [--before MODULE] [--out FOLDER]`: the whole
//! measurement. `--before` names another build of plainsight to measure beside the current one.
//!
//! `memory` is a workload too. Environment: `PLAINSIGHT_ENVOY`, `PLAINSIGHT_WASM`, `PLAINSIGHT_BENCH_FILTERS` (the
//! folder with `bench_empty.wasm`). `make bench` sets them. The exit status is 1 when a goal is missed by
//! more than the noise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use plainsight_bench::bootstrap::Modules;
use plainsight_bench::goals::{Costs, ENOUGH_ROUNDS};
use plainsight_bench::machine::Machine;
use plainsight_bench::report::Report;
use plainsight_bench::rig::Rig;
use plainsight_bench::schedstat::Placement;
use plainsight_bench::variant::{Cell, Chain, Filter, Listener, Workload, cells};
use plainsight_bench::{memory, table};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The listener with the many idle connections.
const CROWDED: Listener = Listener {
    chain: Chain::Open,
    filter: Filter::Both,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse(env::args().skip(1))?;
    let mut modules = Modules::from_environment()?;
    modules.before.clone_from(&arguments.before);
    let placement = Placement::choose()?;
    placement.pin_this_process()?;
    eprintln!(
        "bench: Envoy on CPU {}, loads and backends on CPU {}",
        placement.envoy, placement.load
    );

    let memory = match arguments.memory {
        true => memory::measure(&modules, arguments.rounds).await?,
        false => BTreeMap::new(),
    };
    let cells = cells(&arguments.workloads, arguments.before.is_some());
    let listeners: BTreeSet<Listener> = cells.iter().map(|cell| cell.listener()).collect();
    let listeners: Vec<Listener> = listeners.into_iter().collect();
    let rig = Rig::start(&modules, &listeners, Some(placement.envoy), 1).await?;
    let costs = measure(&rig, &cells, arguments.rounds).await?;

    let report = Report::new(
        OffsetDateTime::now_utc()
            .replace_nanosecond(0)?
            .format(&Rfc3339)?,
        rig.envoy.version().await?,
        Machine::this()?,
        fs::metadata(&modules.plainsight)?.len(),
        &costs,
        &memory,
    );
    fs::create_dir_all(&arguments.out)?;
    write(
        &arguments.out.join("bench.json"),
        &serde_json::to_string_pretty(&report)?,
    )?;
    print!("{}", table::render(&report));

    let missed = report.missed().count();
    if missed > 0 {
        eprintln!("bench: {missed} goals are missed by more than the noise");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures every cell once per round, in a different order each round, after a discarded warm-up round: V8 recompiles
/// hot functions while they run.
async fn measure(rig: &Rig, cells: &[Cell], rounds: usize) -> Result<Costs> {
    let started = Instant::now();
    let mut random = fastrand::Rng::with_seed(1);
    let mut costs = Costs::new();
    for round in 0..=rounds {
        let mut order = cells.to_vec();
        random.shuffle(&mut order);
        // The loads with many idle connections come last, together, so that these connections do not affect the others.
        order.sort_by_key(|cell| is_crowded(*cell));
        let crowd = match order.last() {
            Some(&last) if is_crowded(last) => order.iter().position(|&cell| is_crowded(cell)),
            _ => None,
        };
        let (usual, crowded) = order.split_at(crowd.unwrap_or(order.len()));
        let mut measured = block(rig, usual).await?;
        if !crowded.is_empty() {
            let crowd = rig.gather_crowd(CROWDED).await?;
            measured.extend(block(rig, crowded).await?);
            rig.dismiss_crowd(CROWDED, crowd).await?;
        }
        if round > 0 {
            for (cell, cost) in measured {
                costs.entry(cell).or_default().push(cost);
            }
        }
        let left = started.elapsed() / (u32::try_from(round)? + 1) * u32::try_from(rounds - round)?;
        eprintln!(
            "bench: round {round} of {rounds}{}, about {} s left",
            if round == 0 { " (thrown away)" } else { "" },
            left.as_secs()
        );
    }
    Ok(costs)
}

fn is_crowded(cell: Cell) -> bool {
    matches!(cell.workload, Workload::Open(open) if open > 1)
}

/// CPU microseconds per unit of each of these cells, one after the other.
async fn block(rig: &Rig, cells: &[Cell]) -> Result<Vec<(Cell, f64)>> {
    let mut measured = Vec::with_capacity(cells.len());
    for &cell in cells {
        let sample = rig
            .measure(cell, cell.workload.block())
            .await
            .with_context(|| format!("{}, {}", cell.workload, cell.filter.as_str()))?;
        let units = match cell.workload.unit() {
            "MiB" => sample.served as f64 / f64::from(1 << 20),
            _ => sample.served as f64,
        };
        measured.push((cell, micros(sample.cpu) / units));
    }
    Ok(measured)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))?;
    eprintln!("bench: wrote {}", path.display());
    Ok(())
}

/// The command line.
struct Arguments {
    rounds: usize,
    workloads: Vec<Workload>,
    memory: bool,
    before: Option<PathBuf>,
    out: PathBuf,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = Self {
            rounds: ENOUGH_ROUNDS,
            workloads: Workload::ALL.to_vec(),
            memory: true,
            before: None,
            out: PathBuf::from("out"),
        };
        while let Some(word) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{word}: expected a value, got nothing"))?;
            match word.as_str() {
                "--rounds" => {
                    arguments.rounds = value
                        .parse()
                        .with_context(|| format!("--rounds: expected a number, got {value:?}"))?;
                }
                "--only" => (arguments.workloads, arguments.memory) = named(&value)?,
                "--before" => {
                    let module = std::path::absolute(&value)?;
                    ensure!(module.is_file(), "--before: {value}: no such file");
                    arguments.before = Some(module);
                }
                "--out" => arguments.out = PathBuf::from(value),
                _ => bail!("{word}: expected --rounds, --only, --before or --out"),
            }
        }
        ensure!(arguments.rounds > 0, "--rounds: expected at least 1, got 0");
        Ok(arguments)
    }
}

/// The loads with these names, separated by commas, and whether `memory` is included.
fn named(names: &str) -> Result<(Vec<Workload>, bool)> {
    let (memory, loads): (Vec<_>, Vec<_>) = names.split(',').partition(|name| *name == "memory");
    let find = |name: &str| Workload::ALL.into_iter().find(|w| w.to_string() == name);
    let loads = loads.into_iter().map(|name| {
        find(name).with_context(|| {
            let known = Workload::ALL.map(|w| w.to_string()).join(",");
            format!("--only: expected some of {known},memory, got {name:?}")
        })
    });
    Ok((loads.collect::<Result<_>>()?, !memory.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn a_run_measures_everything_by_default() {
        let arguments = parse(&[]).unwrap();
        assert_eq!(arguments.rounds, ENOUGH_ROUNDS);
        assert_eq!(arguments.workloads, Workload::ALL);
        assert!(arguments.memory);
        let arguments = parse(&["--rounds", "2", "--only", "http1,open-10000"]).unwrap();
        assert_eq!(arguments.rounds, 2);
        assert_eq!(
            arguments.workloads,
            [Workload::Http1, Workload::Open(10_000)]
        );
        assert!(!arguments.memory);
        let arguments = parse(&["--only", "memory"]).unwrap();
        assert!(arguments.memory && arguments.workloads.is_empty());
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (words, name) in [
            (["--rounds", "many"], "many"),
            (["--only", "http9"], "http9"),
            (["--fast", "1"], "--fast"),
            (["--rounds", "0"], "--rounds"),
            (["--before", "no/such.wasm"], "no/such.wasm"),
        ] {
            let error = parse(&words).err().unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
