//! What `plainsight explain` says of each caller, and what follows for STRICT.

use anyhow::{Context, bail};
use serde_json::Value;

use super::traffic::{Line, Traffic};

/// One caller of one port.
#[derive(Debug)]
pub struct Row {
    /// The caller.
    pub name: String,
    /// The called workload, `NAMESPACE/NAME`.
    pub workload: String,
    /// Its port.
    pub port: String,
    /// `reject` or `exempt`.
    pub strict: String,
    /// The likely cause.
    pub cause: String,
}

impl Row {
    /// The rows of an answer in JSON.
    ///
    /// # Errors
    /// It has no callers.
    pub fn of(answer: &Value) -> anyhow::Result<Vec<Self>> {
        let callers = answer["callers"].as_array().context("no callers")?;
        let rows = callers.iter().map(|caller| {
            let text = |key: &str| caller[key].as_str().unwrap_or_default().to_owned();
            Self {
                name: text("name"),
                workload: format!(
                    "{}/{}",
                    text("destinationNamespace"),
                    text("destinationWorkload")
                ),
                port: caller["destinationPort"].to_string(),
                strict: text("strict"),
                cause: text("cause"),
            }
        });
        Ok(rows.collect())
    }

    /// It is about this caller.
    pub fn is(&self, line: &Line) -> bool {
        self.name == line.name
            && self.workload == line.workload
            && self.port == line.port.to_string()
    }
}

/// The verdict on each caller: what the evidence says of those who call now, and of the others what it said when they
/// called. No row is `allow`.
///
/// # Errors
/// The evidence contradicts itself.
pub fn predict(
    traffic: &[Traffic],
    before: &[Row],
    now: &[Row],
) -> anyhow::Result<Vec<(Line, String)>> {
    let mut predictions = Vec::new();
    for (index, one) in traffic.iter().enumerate() {
        let line = &one.line;
        // A workload that was restarted calls as its new pod does.
        let mut later = traffic[index + 1..].iter().map(|traffic| &traffic.line);
        if later.any(|other| {
            (&other.name, other.workload, other.port) == (&line.name, line.workload, line.port)
        }) {
            continue;
        }
        let rows = if one.is_calling() { now } else { before };
        let own = rows.iter().filter(|row| row.is(line));
        let mut verdicts: Vec<&str> = own.map(|row| row.strict.as_str()).collect();
        // Evidence from before the exemption is there too: the newer one counts, as in `plainsight:port:exempt`.
        if verdicts.contains(&"exempt") {
            verdicts.retain(|verdict| *verdict == "exempt");
        }
        let verdict = match verdicts[..] {
            [] => "allow",
            [one] => one,
            _ => bail!("{}: {verdicts:?}", line.name),
        };
        predictions.push((line.clone(), verdict.to_owned()));
    }
    Ok(predictions)
}
