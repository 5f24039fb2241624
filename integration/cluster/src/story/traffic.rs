//! The callers of the story: each calls on and on, and every call is counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plainsight_harness::callers::{Caller, CallerProtocol};
use tokio::task::JoinHandle;

use crate::network::Namespace;

const PAUSE: Duration = Duration::from_millis(500);

/// Whether a caller makes a connection for each call, as most clients without a pool do, or keeps one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// A connection for each call.
    Reconnect,
    /// One connection for all calls, until it is closed.
    Keep,
}

/// A caller and what it calls.
#[derive(Clone)]
pub struct Line {
    /// As the evidence names it.
    pub name: String,
    /// The workload, `NAMESPACE/NAME`.
    pub workload: &'static str,
    /// The workload's port.
    pub port: u16,
    /// The network it calls from.
    pub network: Arc<Namespace>,
    /// How it calls, with its address.
    pub caller: Caller,
    /// The address it calls: of the pod, or of the Service if it has a sidecar.
    pub to: SocketAddr,
    /// Its connections.
    pub habit: Habit,
}

impl Line {
    /// One call.
    ///
    /// # Errors
    /// It was not served.
    pub async fn call(&self) -> anyhow::Result<()> {
        let (caller, to) = (self.caller.clone(), self.to);
        self.network
            .run(async move { caller.call(to).await })
            .await?;
        Ok(())
    }
}

/// What became of the calls.
#[derive(Default)]
pub struct Counts {
    /// Calls that were answered.
    pub served: AtomicU64,
    /// Calls that were not; each with its error.
    pub lost: Mutex<Vec<String>>,
    /// Kept connections that were closed.
    pub closed: AtomicU64,
}

impl Counts {
    /// The errors.
    pub fn lost(&self) -> Vec<String> {
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A caller at work. It stops when dropped.
pub struct Traffic {
    /// Who.
    pub line: Line,
    /// What became of it.
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Traffic {
    /// Begins to call.
    pub fn start(line: Line) -> Self {
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let work = work(line.clone(), Arc::clone(&counts), Arc::clone(&stop));
        let network = Arc::clone(&line.network);
        let task = tokio::spawn(async move {
            let _ = network.run(work).await;
        });
        Self {
            line,
            counts,
            stop,
            task: Some(task),
        }
    }

    /// Ends it after the call that is under way.
    pub async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }

    /// It calls.
    pub fn is_calling(&self) -> bool {
        self.task.is_some()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn work(line: Line, counts: Arc<Counts>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let held = kept.is_some();
        let result = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => line.caller.connect(line.to).await?,
            };
            let reply = connection.exchange("/").await?;
            anyhow::ensure!(reply.status < 300, "status {}", reply.status);
            Ok::<_, anyhow::Error>((connection, reply.headers.contains_key("connection")))
        };
        match result.await {
            Ok((connection, closing)) => {
                counts.served.fetch_add(1, Ordering::Relaxed);
                if line.habit == Habit::Reconnect {
                    connection.close().await;
                } else if closing {
                    counts.closed.fetch_add(1, Ordering::Relaxed);
                } else {
                    kept = Some(connection);
                }
            }
            // The drain: bytes have no other end than the close of the connection.
            Err(_) if held && line.caller.protocol == CallerProtocol::Bytes => {
                counts.closed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let mut lost = counts.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.push(format!("{error:#}"));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Every caller was served, every time.
///
/// # Errors
/// A call was lost; the message has its error.
pub fn none_lost(traffic: &[Traffic]) -> anyhow::Result<()> {
    for traffic in traffic {
        let (line, lost) = (&traffic.line, traffic.counts.lost());
        anyhow::ensure!(
            lost.is_empty() && traffic.counts.served.load(Ordering::Relaxed) > 0,
            "{} calls {}:{}: {} lost: {lost:?}",
            line.name,
            line.workload,
            line.port,
            lost.len()
        );
    }
    Ok(())
}

/// All of it as a table of Markdown.
pub fn table(traffic: &[Traffic]) -> String {
    let head = "| caller | calls | served | lost | TCP connections closed by a drain |\n|---|---|---|---|---|";
    traffic.iter().fold(head.to_owned(), |table, traffic| {
        let (line, counts) = (&traffic.line, &traffic.counts);
        let closed =
            match line.habit == Habit::Keep && line.caller.protocol == CallerProtocol::Bytes {
                true => counts.closed.load(Ordering::Relaxed).to_string(),
                false => "-".to_owned(),
            };
        table
            + &format!(
                "\n| `{}` | `{}:{}` | {} | {} | {closed} |",
                line.name,
                line.workload,
                line.port,
                counts.served.load(Ordering::Relaxed),
                counts.lost().len(),
            )
    })
}
