//! One answer in the format asked for.

use std::io::IsTerminal as _;

use serde::Serialize;

use super::document::Basis;
use super::table::{Grid, Records, printable};
use crate::Error;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A table, the remarks, and what they rest on
    #[default]
    Table,
    /// The same with more columns
    Wide,
    /// JSON with an apiVersion
    Json,
    /// YAML with an apiVersion
    Yaml,
    /// Comma-separated values with stable columns
    Csv,
    /// A Markdown table
    Markdown,
    /// One self-contained page (report)
    Html,
    /// JUnit (gate)
    Junit,
    /// Annotations of GitHub Actions (gate)
    Github,
}

/// When to use color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl When {
    /// Whether to use color on standard output.
    pub fn on(self) -> bool {
        match self {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::io::stdout().is_terminal()
            }
        }
    }
}

/// An answer that can be shown.
pub trait Answer: Serialize {
    /// What it rests on; `peek` rests on one file.
    fn basis(&self) -> Option<&Basis>;
    /// The table.
    fn grid(&self, wide: bool) -> Grid;
    /// The records of `csv`.
    fn records(&self) -> Records;
    /// Sentences under the table.
    fn remarks(&self) -> Vec<String>;
    /// The page, where there is one.
    fn html(&self) -> Option<Result<String, Error>> {
        None
    }
}

/// The answer as text.
pub fn render(
    answer: &impl Answer,
    format: Format,
    color: bool,
    quiet: bool,
) -> Result<String, Error> {
    match format {
        Format::Table | Format::Wide => {
            let grid = answer.grid(format == Format::Wide);
            let mut text = if grid.is_empty() {
                String::new()
            } else {
                grid.text(color)
            };
            for remark in answer.remarks() {
                text.push_str(&format!("! {}\n", printable(&remark)));
            }
            if let (Some(basis), false) = (answer.basis(), quiet) {
                for note in &basis.notes {
                    text.push_str(&format!("# {}\n", printable(note)));
                }
                text.push_str(&basis.line());
                text.push('\n');
            }
            Ok(text)
        }
        Format::Json => serde_json::to_string_pretty(answer)
            .map(|json| json + "\n")
            .map_err(Error::output),
        Format::Yaml => yaml(answer),
        Format::Csv => answer.records().csv(),
        Format::Markdown => {
            let mut text = answer.grid(true).markdown();
            for remark in answer.remarks() {
                text.push_str(&format!("\n- {}", printable(&remark)));
            }
            if let Some(basis) = answer.basis() {
                text.push_str(&format!("\n\n{}\n", basis.line().trim_start_matches("# ")));
            }
            Ok(text)
        }
        Format::Html => answer
            .html()
            .unwrap_or_else(|| Err(Error::Usage("-o html: only `report` has a page".into()))),
        Format::Junit | Format::Github => Err(Error::Usage(
            "-o junit and -o github: only for `gate`".into(),
        )),
    }
}

/// YAML of anything that is JSON.
pub fn yaml(value: &impl Serialize) -> Result<String, Error> {
    // By way of JSON, so that both formats hold the same.
    let value = serde_json::to_value(value).map_err(Error::output)?;
    let mut text = serde_saphyr::to_string(&value).map_err(Error::output)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
