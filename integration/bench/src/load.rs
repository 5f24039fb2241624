//! Load generators. Each returns the number of units served; the caller measures their cost.

pub mod client;
pub mod connections;
pub mod stream;
pub mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

/// The amount of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All units that are started in this time.
    Time(Duration),
    /// Exactly this number of units.
    Units(u64),
}

/// The units that may still be started, shared by the tasks of one load.
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// Whether one more unit may be started.
    pub fn take(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

/// Runs one task per item until the limit is reached and every task has finished. Returns the number of units served,
/// and the items. A task takes from the budget before each unit.
///
/// # Errors
/// The first error of a task.
pub async fn spend<T, W, F>(limit: Limit, items: Vec<T>, work: W) -> Result<(u64, Vec<T>)>
where
    T: Send + 'static,
    W: Fn(T, Arc<Budget>) -> F,
    F: Future<Output = Result<(u64, T)>> + Send + 'static,
{
    let budget = Arc::new(Budget(AtomicU64::new(match limit {
        Limit::Time(_) => u64::MAX,
        Limit::Units(units) => units,
    })));
    let mut tasks: JoinSet<Result<(u64, T)>> = items
        .into_iter()
        .map(|item| work(item, Arc::clone(&budget)))
        .collect();
    if let Limit::Time(time) = limit {
        tokio::time::sleep(time).await;
        budget.0.store(0, Ordering::Relaxed);
    }
    let mut served = 0;
    let mut items = Vec::with_capacity(tasks.len());
    while let Some(finished) = tasks.join_next().await {
        let (units, item) = finished??;
        served += units;
        items.push(item);
    }
    Ok((served, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count((): (), budget: Arc<Budget>) -> Result<(u64, ())> {
        let mut served = 0;
        while budget.take() {
            served += 1;
            tokio::task::yield_now().await;
        }
        Ok((served, ()))
    }

    #[tokio::test]
    async fn a_limit_of_units_is_met_exactly_and_every_item_is_returned() {
        let (served, items) = spend(Limit::Units(1_001), vec![(); 7], count)
            .await
            .unwrap();
        assert_eq!((served, items.len()), (1_001, 7));
    }

    #[tokio::test]
    async fn a_limit_of_time_ends_the_load() {
        let time = Duration::from_millis(20);
        let (served, _) = spend(Limit::Time(time), vec![(); 3], count).await.unwrap();
        assert!(served > 0, "nothing was served");
    }

    #[tokio::test]
    async fn an_error_of_one_task_is_the_loads_error() {
        let spent = spend(Limit::Units(1), vec![()], |(), _| async {
            anyhow::bail!("reset")
        });
        assert_eq!(spent.await.unwrap_err().to_string(), "reset");
    }
}
