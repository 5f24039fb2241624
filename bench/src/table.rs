//! The report as text.

use std::fmt::Write as _;

use crate::estimate::Estimate;
use crate::report::Report;
use crate::variant::Workload;

/// The table of cells and the table of goals.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    writeln!(
        text,
        "Envoy {}, {}, {} CPUs, {} GiB, Linux {}; {} rounds; plainsight.wasm {} bytes; {}",
        report.envoy,
        machine.processor,
        machine.cpus,
        machine.memory_gib,
        machine.kernel,
        report.rounds,
        report.module_bytes,
        report.date,
    )?;
    writeln!(
        text,
        "CPU microseconds of the Envoy process per unit: median over the rounds and its 95 % bootstrap interval\n"
    )?;
    for workload in Workload::by_name() {
        let name = workload.to_string();
        for row in report.under(&name) {
            let added = row
                .added
                .map(|added| format!("added {}", interval(added, 2)));
            let line = format!(
                "{name:<22}{:<26}{:<26}per {:<12}{}",
                row.filter,
                interval(row.cost, 2),
                row.unit,
                added.unwrap_or_default(),
            );
            writeln!(text, "{}", line.trim_end())?;
        }
    }
    writeln!(text)?;
    for goal in &report.goals {
        writeln!(
            text,
            "{:<66}{:<24}goal {:<14}{}",
            goal.what,
            interval(goal.ratio, 2),
            goal.goal,
            goal.verdict,
        )?;
    }
    if !report.judged {
        writeln!(
            text,
            "\n{} rounds are too few to tell the noise: a trial, the goals are shown and not judged",
            report.rounds
        )?;
    }
    Ok(())
}

/// `value (low..high)` with this number of decimals.
#[must_use]
pub fn interval(estimate: Estimate, decimals: usize) -> String {
    let Estimate { value, low, high } = estimate;
    format!("{value:.decimals$} ({low:.decimals$}..{high:.decimals$})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::made_up;

    #[test]
    fn every_goal_stands_beside_what_came() {
        let text = render(&made_up(15));
        let line = text
            .lines()
            .find(|line| line.starts_with("added per mTLS request, against the SDK's empty filter"))
            .unwrap();
        assert!(line.contains("3.00 (3.00..3.00)"), "{line}");
        assert!(line.contains("goal at most 1.30"), "{line}");
        assert!(line.ends_with("MISSED"), "{line}");
    }

    #[test]
    fn a_trial_says_that_it_judges_nothing() {
        assert!(render(&made_up(2)).contains("2 rounds are too few"));
        assert!(!render(&made_up(15)).contains("too few"));
    }
}
