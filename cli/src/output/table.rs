//! Tables for people: plain text and Markdown. Records for programs: CSV.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use crate::Error;

/// How a cell stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// Ready.
    Good,
    /// Ready but for exceptions.
    Fair,
    /// In the way.
    Bad,
}

/// A cell: text and tone.
#[derive(Debug, Clone, Default)]
pub struct Field {
    text: String,
    tone: Tone,
}

impl Field {
    /// A cell that stands out.
    pub fn toned(text: impl ToString, tone: Tone) -> Field {
        Field {
            text: text.to_string(),
            tone,
        }
    }
}

impl<T: ToString> From<T> for Field {
    fn from(text: T) -> Field {
        Field::toned(text, Tone::Plain)
    }
}

/// Columns, the rightmost-aligned ones marked, and rows.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<Field>>,
}

impl Grid {
    /// A grid with these columns; a name that begins with `>` is aligned to the right.
    pub fn new(columns: &[&'static str]) -> Grid {
        let columns = columns.iter().map(|name| match name.strip_prefix('>') {
            Some(name) => (name, true),
            None => (*name, false),
        });
        Grid {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, fields: Vec<Field>) {
        self.rows.push(fields);
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn fill(&self, escape: fn(&str) -> String, heading: fn(&str) -> String) -> Table {
        let mut table = Table::new();
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(
            self.columns
                .iter()
                .map(|(name, _)| Cell::new(heading(name))),
        );
        for row in &self.rows {
            table.add_row(row.iter().map(|field| {
                let cell = Cell::new(escape(&printable(&field.text)));
                match field.tone {
                    Tone::Plain => cell,
                    Tone::Good => cell.fg(Color::Green),
                    Tone::Fair => cell.fg(Color::Yellow),
                    Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
                }
            }));
        }
        for (index, (_, right)) in self.columns.iter().enumerate() {
            if let (true, Some(column)) = (*right, table.column_mut(index)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }

    /// Plain text, two spaces between columns.
    pub fn text(&self, color: bool) -> String {
        let mut table = self.fill(str::to_owned, str::to_owned);
        table.load_style(presets::NOTHING).style_text_only();
        if color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        lines(&table)
    }

    /// A Markdown table.
    pub fn markdown(&self) -> String {
        let mut table = self.fill(|text| text.replace('|', "\\|"), sentence);
        table.load_style(presets::ASCII_MARKDOWN).force_no_tty();
        lines(&table)
    }
}

/// `LAST PLAINTEXT` as a heading in prose.
fn sentence(name: &str) -> String {
    let lower = name.to_lowercase();
    let mut characters = lower.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

fn lines(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Control characters could move the cursor of a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Records with a fixed header, as CSV.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Column names; part of the interface.
    pub header: Vec<&'static str>,
    /// The records.
    pub rows: Vec<Vec<String>>,
}

impl Records {
    /// Comma-separated values with a header line.
    pub fn csv(&self) -> Result<String, Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header).map_err(Error::output)?;
        for row in &self.rows {
            writer.write_record(row).map_err(Error::output)?;
        }
        String::from_utf8(writer.into_inner().map_err(Error::output)?).map_err(Error::output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&["NAMESPACE", ">CALLERS", "LAST PLAINTEXT"]);
        grid.row(vec![
            "shop".into(),
            0.into(),
            Field::toned("never", Tone::Good),
        ]);
        grid.row(vec!["a|b\u{1b}[2J".into(), 12.into(), "3m ago".into()]);
        grid
    }

    #[test]
    fn text_has_two_spaces_between_columns_and_no_control_characters() {
        let text = grid().text(false);
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap().split_whitespace().next(),
            Some("NAMESPACE")
        );
        assert_eq!(lines.next().unwrap(), "shop             0  never");
        assert!(!text.contains('\u{1b}'));
        assert!(grid().text(true).contains('\u{1b}'));
    }

    #[test]
    fn markdown_escapes_bars() {
        let markdown = grid().markdown();
        assert!(markdown.contains("a\\|b"), "{markdown}");
        assert!(markdown.starts_with("| Namespace |"), "{markdown}");
    }
}
