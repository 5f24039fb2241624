//! New connections: the client opens each, sends one request and closes it.

use anyhow::Result;

use crate::bootstrap::DIRECT;
use crate::load::client::{Client, LOCALHOST, Target};
use crate::load::{Limit, spend};

/// Opens connections, `at_once` of them concurrently, and returns the number that were answered.
///
/// # Errors
/// A connection, a handshake or a request fails.
pub async fn open_and_close(target: &Target, at_once: usize, limit: Limit) -> Result<u64> {
    let targets = vec![target.clone(); at_once];
    let (served, _) = spend(limit, targets, |target, budget| async move {
        let mut served = 0;
        while budget.take() {
            drop(Client::open(target.clone(), DIRECT.to_owned(), LOCALHOST).await?);
            served += 1;
        }
        Ok((served, target))
    })
    .await?;
    Ok(served)
}
