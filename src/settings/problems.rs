//! Problems in a configuration, each with its path.

use serde_json::Value;

/// Max bytes of a quoted value.
const MAX_QUOTE: usize = 80;

/// The problems of a configuration, in the form `path: problem: value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    lines: Vec<String>,
    /// The path of the value being parsed.
    path: String,
}

impl Problems {
    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Runs `read` one level deeper: at a key, or at `[index]`.
    pub(super) fn at<T>(&mut self, step: &str, read: impl FnOnce(&mut Problems) -> T) -> T {
        let parent = self.path.len();
        if parent > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(cut(step));
        let value = read(self);
        self.path.truncate(parent);
        value
    }

    /// Adds a problem with the value at the current path.
    pub(super) fn add(&mut self, problem: &str, came: &Value) {
        let came = came.to_string();
        let dots = if cut(&came).len() < came.len() {
            "..."
        } else {
            ""
        };
        self.add_here(&format!("{problem}: {}{dots}", cut(&came)));
    }

    /// Adds a problem at the current path.
    pub(super) fn add_here(&mut self, problem: &str) {
        self.add_text(format!("{}: {problem}", self.path));
    }

    /// Adds a complete line.
    pub fn add_text(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// Cuts a text for the log.
fn cut(text: &str) -> &str {
    let end = (0..=MAX_QUOTE)
        .rev()
        .find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}
