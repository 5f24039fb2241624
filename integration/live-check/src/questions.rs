//! Questions to Prometheus, each with the number of rows its answer must have, asked until all are answered right.

use std::time::Duration;

use anyhow::{bail, ensure};
use plainsight_harness::eventually::DEADLINE;
use tokio::time::{Instant, sleep};

use crate::expected_rules::Expected;
use crate::prometheus::Prometheus;

/// One question.
#[derive(Debug, Clone)]
pub struct Question {
    /// What it is called in messages.
    pub name: String,
    /// Its expression, without variables.
    pub expression: String,
    /// Asked for one moment, or for a range.
    pub instant: bool,
    /// What its answer must have.
    pub expected: Expected,
}

impl Question {
    async fn ask(&self, prometheus: &Prometheus) -> anyhow::Result<usize> {
        let rows = if self.instant {
            prometheus.query(&self.expression).await?
        } else {
            prometheus.query_range(&self.expression).await?
        };
        let as_expected = match self.expected {
            Expected::Exactly(count) => rows.len() == count,
            Expected::Some => !rows.is_empty(),
        };
        ensure!(
            as_expected,
            "{}: {} rows, expected {:?}: {}: {rows:?}",
            self.name,
            rows.len(),
            self.expected,
            self.expression
        );
        Ok(rows.len())
    }
}

/// Asks all, and those again that were not answered right: rows come a second later than what they speak of. Returns the
/// rows of each, in order.
///
/// # Errors
/// After a minute in which no further question was answered right: all that were not, with their last answers.
pub async fn ask_all(
    prometheus: &Prometheus,
    questions: &[Question],
) -> anyhow::Result<Vec<usize>> {
    let mut rows: Vec<Option<usize>> = vec![None; questions.len()];
    let mut progress = Instant::now();
    loop {
        let mut wrong = Vec::new();
        for (question, rows) in questions
            .iter()
            .zip(&mut rows)
            .filter(|(_, rows)| rows.is_none())
        {
            match question.ask(prometheus).await {
                Ok(count) => {
                    *rows = Some(count);
                    progress = Instant::now();
                }
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        if wrong.is_empty() {
            return Ok(rows.into_iter().flatten().collect());
        }
        if progress.elapsed() > DEADLINE {
            bail!(
                "{} of {} questions:\n{}",
                wrong.len(),
                questions.len(),
                wrong.join("\n")
            );
        }
        sleep(Duration::from_millis(250)).await;
    }
}
