//! The report as text.

use std::fmt::Write as _;

use crate::estimate::Estimate;
use crate::report::{REQUESTS_PER_SECOND, Report, Sidecar};
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
    for workload in Workload::ALL {
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
    write_sidecar(text, &report.sidecar)?;
    if !report.judged {
        writeln!(
            text,
            "\n{} rounds are too few to estimate the noise: a trial, so the goals are not judged",
            report.rounds
        )?;
    }
    Ok(())
}

/// The lines for operators.
fn write_sidecar(text: &mut String, sidecar: &Sidecar) -> std::fmt::Result {
    let lines = [
        ("mutual TLS", sidecar.mutual_tls_percent, "% of a core"),
        ("plaintext", sidecar.plaintext_percent, "% of a core"),
    ];
    writeln!(text, "\nadded to a sidecar")?;
    for (what, percent, unit) in lines {
        if let Some(percent) = percent {
            let percent = interval(percent, 2);
            writeln!(
                text,
                "  {REQUESTS_PER_SECOND} requests a second, {what:<12}{percent} {unit}"
            )?;
        }
    }
    let memory = (sidecar.mib, sidecar.mib_empty_filter, sidecar.mib_without);
    if let (Some(mib), Some(empty), Some(without)) = memory {
        let [mib, empty, without] = [mib, empty, without].map(|mib| interval(mib, 1));
        writeln!(
            text,
            "  resident memory: {mib} MiB; the SDK's empty filter: {empty}; Envoy without a filter: {without}"
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
    fn every_goal_is_shown_with_its_result() {
        let text = render(&made_up(15));
        let line = text
            .lines()
            .find(|line| line.starts_with("added per mTLS request, against the SDK's empty filter"))
            .unwrap();
        assert!(line.contains("3.00 (3.00..3.00)"), "{line}");
        assert!(line.contains("goal at most 1.45"), "{line}");
        assert!(line.ends_with("MISSED"), "{line}");
    }

    #[test]
    fn the_cost_of_a_sidecar_is_shown_in_percent_of_a_core_and_mebibytes() {
        let text = render(&made_up(15));
        assert!(
            text.contains("500 requests a second, mutual TLS  0.15 (0.15..0.15) % of a core"),
            "{text}"
        );
        assert!(
            text.contains("resident memory: 26.5 (26.5..26.5) MiB; the SDK's empty filter: 25.0"),
            "{text}"
        );
    }

    #[test]
    fn a_trial_judges_no_goal() {
        assert!(render(&made_up(2)).contains("2 rounds are too few"));
        assert!(!render(&made_up(15)).contains("too few"));
    }
}
