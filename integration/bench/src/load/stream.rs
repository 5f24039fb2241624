//! TCP streams through Envoy, in either direction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use plainsight_harness::eventually::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::client::{Duplex, LOCALHOST, Target};
use crate::load::{Limit, spend};

/// The bytes of one write: one unit of a stream's limit.
pub const CHUNK: usize = 64 << 10;

/// Open streams to one target.
pub struct Streams {
    open: Vec<Box<dyn Duplex>>,
}

impl Streams {
    /// This number of connections, each with a first byte sent.
    ///
    /// # Errors
    /// A connection fails.
    pub async fn open(target: &Target, number: usize) -> Result<Self> {
        let mut open = Vec::with_capacity(number);
        for _ in 0..number {
            let mut stream = target.connect(LOCALHOST).await?;
            stream.write_all(b"x").await?;
            open.push(stream);
        }
        Ok(Self { open })
    }

    /// Sends chunks and returns the number of bytes, once the sink has received them all.
    ///
    /// # Errors
    /// A connection fails, or bytes do not arrive.
    pub async fn upload(&mut self, limit: Limit, swallowed: &AtomicU64) -> Result<u64> {
        let first_bytes = self.open.len() as u64;
        let before = swallowed.load(Ordering::Relaxed);
        let streams = std::mem::take(&mut self.open);
        let (chunks, streams) = spend(limit, streams, |mut stream, budget| async move {
            let chunk = vec![b'x'; CHUNK];
            let mut sent = 0;
            while budget.take() {
                stream.write_all(&chunk).await?;
                sent += 1;
            }
            Ok((sent, stream))
        })
        .await?;
        self.open = streams;

        let sent = chunks * CHUNK as u64;
        let started = Instant::now();
        loop {
            let arrived = swallowed.load(Ordering::Relaxed) - before;
            // The streams' first bytes may still have been in flight.
            if arrived >= sent {
                ensure!(
                    arrived <= sent + first_bytes,
                    "upload: sent {sent} bytes, {arrived} arrived"
                );
                return Ok(sent);
            }
            ensure!(
                started.elapsed() < DEADLINE,
                "upload: sent {sent} bytes, {arrived} arrived in {DEADLINE:?}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Reads from the source and returns the number of bytes.
    ///
    /// # Errors
    /// A connection fails or ends.
    pub async fn download(&mut self, limit: Limit) -> Result<u64> {
        let streams = std::mem::take(&mut self.open);
        let (chunks, streams) = spend(limit, streams, |mut stream, budget| async move {
            let mut chunk = vec![0; CHUNK];
            let mut read = 0;
            while budget.take() {
                stream.read_exact(&mut chunk).await?;
                read += 1;
            }
            Ok((read, stream))
        })
        .await?;
        self.open = streams;
        Ok(chunks * CHUNK as u64)
    }
}
