//! The report as an SVG: what each filter adds per request, and the goals.

use std::fmt::Write as _;

use crate::estimate::Estimate;
use crate::goals::Verdict;
use crate::report::{Report, Row};
use crate::table::interval;

const WIDTH: f64 = 900.0;
/// Where bars begin; their names stand left of it.
const LEFT: f64 = 260.0;
/// Where bars end at the latest; their numbers stand right of it.
const RIGHT: f64 = 690.0;
const LINE: f64 = 24.0;

/// The loads that are drawn, with their titles.
const PANELS: [(&str, &str); 3] = [
    ("http1", "HTTP/1.1, plaintext"),
    ("http1-mtls", "HTTP/1.1, mutual TLS"),
    ("http2", "HTTP/2, plaintext"),
];

/// The chart. It stands on a white card of its own, so that it reads on dark pages too.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut body = String::new();
    let bottom = draw(&mut body, report).unwrap_or(LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {bottom}\" width=\"{WIDTH}\" \
         height=\"{bottom}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\" \
         aria-label=\"CPU that each filter adds per request\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Draws everything and gives the height.
fn draw(svg: &mut String, report: &Report) -> Result<f64, std::fmt::Error> {
    let machine = &report.machine;
    let mut y = 30.0;
    text(
        svg,
        20.0,
        y,
        "#111111",
        "CPU added per request, microseconds (median, 95 % interval)",
    )?;
    y += LINE - 4.0;
    let shape = format!(
        "Envoy {}, one worker; {}, {} CPUs; {} rounds; {}",
        report.envoy,
        machine.processor,
        machine.cpus,
        report.rounds,
        &report.date[..report.date.len().min(10)],
    );
    text(svg, 20.0, y, "#666666", &shape)?;

    let longest = PANELS
        .iter()
        .flat_map(|(workload, _)| report.under(workload))
        .filter_map(|row| row.added)
        .fold(1.0, |longest: f64, added| longest.max(added.high));
    for (workload, title) in PANELS {
        let rows: Vec<(&Row, Estimate)> = report
            .under(workload)
            .filter_map(|row| Some((row, row.added?)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        y += LINE * 1.5;
        text(svg, 20.0, y, "#111111", title)?;
        for (row, added) in rows {
            y += LINE;
            bar(svg, y, row.filter, added, longest)?;
        }
    }

    y += LINE * 1.5;
    text(svg, 20.0, y, "#111111", "Goals")?;
    for goal in &report.goals {
        y += LINE;
        let (colour, verdict) = match (report.judged, goal.verdict) {
            (false, _) => ("#666666", "not judged".to_owned()),
            (true, Verdict::Met) => ("#1a7f37", goal.verdict.to_string()),
            (true, Verdict::WithinNoise) => ("#9a6700", goal.verdict.to_string()),
            (true, Verdict::Missed) => ("#cf222e", "missed".to_owned()),
        };
        text(svg, 20.0, y, "#111111", goal.what)?;
        let came = format!("{}, goal {}: {verdict}", interval(goal.ratio, 2), goal.goal);
        text(svg, 470.0, y, colour, &came)?;
    }
    Ok(y + LINE)
}

fn bar(svg: &mut String, y: f64, name: &str, added: Estimate, longest: f64) -> std::fmt::Result {
    let colour = if name.starts_with("plainsight") {
        "#0969da"
    } else {
        "#8c959f"
    };
    let at = |value: f64| LEFT + (RIGHT - LEFT) * (value / longest).clamp(0.0, 1.0);
    let (top, middle) = (y - 13.0, y - 5.0);
    text(svg, 40.0, y, "#111111", name)?;
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>",
        at(added.value) - LEFT
    )?;
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"#111111\" stroke-width=\"2\"/>",
        at(added.low),
        at(added.high)
    )?;
    text(svg, RIGHT + 12.0, y, "#111111", &interval(added, 2))
}

fn text(svg: &mut String, x: f64, y: f64, colour: &str, words: &str) -> std::fmt::Result {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y:.1}\" fill=\"{colour}\">{words}</text>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::made_up;

    #[test]
    fn each_filter_that_adds_something_has_a_bar_as_long_as_its_cost() {
        let svg = render(&made_up(15));
        // Six filters under HTTP/1.1, three under mutual TLS, two under HTTP/2; the card is a rectangle too.
        assert_eq!(svg.matches("<rect").count(), 1 + 6 + 3 + 2);
        let full = format!("width=\"{:.1}\" height=\"16\"", RIGHT - LEFT);
        assert_eq!(svg.matches(&full).count(), 1, "{svg}");
    }

    #[test]
    fn the_chart_names_envoy_date_and_a_missed_goal() {
        let svg = render(&made_up(15));
        for words in ["Envoy 1.40.0", "2026-01-01", "goal at most 1.30: missed"] {
            assert!(svg.contains(words), "{words}: not in {svg}");
        }
        assert!(render(&made_up(2)).contains("not judged"));
    }

    #[test]
    fn words_cannot_break_the_markup() {
        let mut report = made_up(15);
        report.machine.processor = "A<b> & C".to_owned();
        assert!(render(&report).contains("A&lt;b> &amp; C"));
    }
}
