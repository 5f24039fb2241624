//! Problems in a configuration, each with its path.

use serde_json::Value;

/// Max bytes of a quoted value.
const MAX_QUOTE: usize = 80;

/// The problems of a configuration, in the form `path: problem: what came`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    lines: Vec<String>,
    /// Where the parser is.
    path: String,
}

impl Problems {
    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Runs `read` one step further down: a key, or `[index]`.
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

    /// A problem with the value at the current path.
    pub(super) fn add(&mut self, problem: &str, came: &Value) {
        let came = came.to_string();
        let dots = if cut(&came).len() < came.len() {
            "..."
        } else {
            ""
        };
        self.add_here(&format!("{problem}: {}{dots}", cut(&came)));
    }

    /// A problem at the current path.
    pub(super) fn add_here(&mut self, problem: &str) {
        self.add_text(format!("{}: {problem}", self.path));
    }

    /// A problem as it stands.
    pub fn add_text(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// The beginning of a text, short enough for the log.
fn cut(text: &str) -> &str {
    let end = (0..=MAX_QUOTE)
        .rev()
        .find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}
