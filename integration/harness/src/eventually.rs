//! Waiting for a condition by polling: no fixed sleeps, one generous deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Timeout of every wait, generous enough for a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const PAUSE: Duration = Duration::from_millis(25);

/// Polls `attempt` until it returns `Ok`, or returns its last error after [`DEADLINE`].
///
/// # Errors
/// The last error, with `what` and the time waited before it.
pub async fn eventually<T, F, Fut>(what: &str, mut attempt: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let started = Instant::now();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if started.elapsed() > DEADLINE {
            return Err(error.context(format!("{what}: not within {} s", DEADLINE.as_secs())));
        }
        sleep(PAUSE).await;
    }
}

/// Fails `work` after [`DEADLINE`], so a hang becomes an error that names the step.
///
/// # Errors
/// The error of `work`, or a timeout.
pub async fn in_time<T>(
    what: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => anyhow::bail!("{what}: still not done after {} s", DEADLINE.as_secs()),
    }
}
