//! Load that continues during an operation on Envoy, counted by stages.
//!
//! The plaintext clients of each stage have their own source addresses, and its mutual TLS clients their own SPIFFE id,
//! so the metrics distinguish the stages.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use plainsight_harness::callers::{Caller, CallerProtocol};
use plainsight_harness::eventually::eventually;
use plainsight_harness::exposition::{Sample, Scrape};
use plainsight_harness::pki::{Authority, Identity};
use tokio::task::JoinSet;

use crate::conversation::Ports;
use crate::tally::{CONNECTIONS, Counts, REQUESTS};
use crate::wire::{Dial, End, answers, echo, request, send};

/// Max stages of one run.
pub const STAGES: usize = 6;

/// The state of one stage.
#[derive(Debug, Default)]
struct Stage {
    begun: AtomicU64,
    ended: AtomicU64,
    plaintext: [AtomicU64; 2],
    mutual_tls: [AtomicU64; 2],
}

struct Shared {
    stage: AtomicUsize,
    stopped: AtomicBool,
    stages: [Stage; STAGES],
    failures: Mutex<Vec<String>>,
    identities: Vec<Identity>,
    ports: Ports,
}

/// The load.
pub struct Steady {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// Connections and requests of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Without TLS.
    pub plaintext: Counts,
    /// With mutual TLS.
    pub mutual_tls: Counts,
}

fn principal(stage: usize) -> String {
    format!("spiffe://cluster.local/ns/stage/sa/{stage}")
}

impl Steady {
    /// Starts this number of clients.
    ///
    /// # Errors
    /// No certificates.
    pub fn start(clients: u8, ports: Ports, authority: &Authority) -> anyhow::Result<Self> {
        let identities = (0..STAGES)
            .map(|stage| authority.spiffe(&principal(stage)))
            .collect::<anyhow::Result<_>>()?;
        let shared = Arc::new(Shared {
            stage: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            stages: Default::default(),
            failures: Mutex::default(),
            identities,
            ports,
        });
        let mut set = JoinSet::new();
        for client in 0..clients {
            set.spawn(serve(Arc::clone(&shared), client));
        }
        Ok(Self {
            shared,
            clients: set,
        })
    }

    /// Waits until the stage has completed this number of further conversations.
    ///
    /// # Errors
    /// The load has stalled.
    pub async fn go_on(&self, conversations: u64) -> anyhow::Result<()> {
        let ended = &self.shared.stages[self.shared.stage.load(Ordering::SeqCst)].ended;
        let enough = ended.load(Ordering::SeqCst) + conversations;
        eventually("the load goes on", || async {
            let ended = ended.load(Ordering::SeqCst);
            ensure!(ended >= enough, "conversations: {ended} of {enough}");
            Ok(())
        })
        .await
    }

    /// Ends the stage: starts the next one and waits until every conversation of this one has ended, while the load
    /// continues. Returns the stage's number and its counts.
    ///
    /// # Errors
    /// A conversation does not end.
    pub async fn next_stage(&self) -> anyhow::Result<(usize, StageCounts)> {
        let number = self.shared.stage.fetch_add(1, Ordering::SeqCst);
        let stage = &self.shared.stages[number];
        eventually("the stage's conversations have ended", || async {
            let ended = stage.ended.load(Ordering::SeqCst);
            let begun = stage.begun.load(Ordering::SeqCst);
            ensure!(ended == begun, "ended: {ended} of {begun}");
            Ok(())
        })
        .await?;
        // A failed conversation may be counted or not, so it is reported before the counts are compared.
        self.no_failures()?;
        let counts = |counts: &[AtomicU64; 2]| Counts {
            connections: counts[0].load(Ordering::SeqCst),
            requests: counts[1].load(Ordering::SeqCst),
        };
        let done = StageCounts {
            plaintext: counts(&stage.plaintext),
            mutual_tls: counts(&stage.mutual_tls),
        };
        Ok((number, done))
    }

    /// Ends the load.
    ///
    /// # Errors
    /// A conversation failed at any time; the message counts them and shows the first.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.shared.stopped.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client?;
        }
        self.no_failures()
    }

    /// # Errors
    /// A conversation failed so far; the message counts them and shows the first.
    fn no_failures(&self) -> anyhow::Result<()> {
        let failures = self
            .shared
            .failures
            .lock()
            .map_err(|_| anyhow::anyhow!("failures: poisoned"))?;
        ensure!(
            failures.is_empty(),
            "conversations failed: {}, the first: {}",
            failures.len(),
            failures[0]
        );
        Ok(())
    }
}

/// The counts of plainsight for a stage.
pub fn counted(scrape: &Scrape, stage: usize) -> StageCounts {
    let prefix = format!("127.3.{stage}.");
    let principal = principal(stage);
    let sum = |metric: &str, of: &dyn Fn(&Sample) -> bool| {
        let samples = scrape.matching(metric, &[]);
        samples
            .filter(|sample| of(sample))
            .map(|sample| sample.value as u64)
            .sum()
    };
    let plain = |sample: &Sample| {
        let source = sample.label("source_ip");
        source.is_some_and(|ip| ip.starts_with(&prefix))
    };
    let mesh = |sample: &Sample| sample.label("source_principal") == Some(&principal);
    StageCounts {
        plaintext: Counts {
            connections: sum(CONNECTIONS, &plain),
            requests: sum(REQUESTS, &plain),
        },
        mutual_tls: Counts {
            connections: sum(CONNECTIONS, &mesh),
            requests: sum(REQUESTS, &mesh),
        },
    }
}

/// One client: conversation after conversation, until the load is stopped.
async fn serve(shared: Arc<Shared>, client: u8) {
    for turn in 0_usize.. {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        // The conversation is registered before the stage is checked again, so an ended stage gets no more of them.
        let number = shared.stage.load(Ordering::SeqCst);
        let stage = &shared.stages[number];
        stage.begun.fetch_add(1, Ordering::SeqCst);
        if shared.stage.load(Ordering::SeqCst) == number {
            let identity = &shared.identities[number];
            let source = format!("127.3.{number}.{}", 1 + client);
            match converse(&source, identity, shared.ports, turn + usize::from(client)).await {
                Ok(counts) => {
                    for (into, counts) in [
                        (&stage.plaintext, counts.plaintext),
                        (&stage.mutual_tls, counts.mutual_tls),
                    ] {
                        into[0].fetch_add(counts.connections, Ordering::SeqCst);
                        into[1].fetch_add(counts.requests, Ordering::SeqCst);
                    }
                }
                Err(error) => {
                    if let Ok(mut failures) = shared.failures.lock() {
                        failures.push(format!("stage {number}: {error:#}"));
                    }
                }
            }
        }
        stage.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Alternates five kinds of short conversations: shorter than any drain, so that none may be cut off.
async fn converse(
    source: &str,
    identity: &Identity,
    ports: Ports,
    turn: usize,
) -> anyhow::Result<StageCounts> {
    let counts = |requests| Counts {
        connections: 1,
        requests,
    };
    let mut done = StageCounts::default();
    match turn % 5 {
        0 | 1 => {
            let identity = (turn % 5 == 1).then_some(identity);
            let dial = Dial {
                source,
                identity,
                to: ports.http,
            };
            let mut stream = dial.open(CallerProtocol::Http1, End::Reset).await?;
            send(&mut stream, request("").as_bytes()).await?;
            answers(&mut stream, 1).await.context("HTTP/1.1")?;
            match identity {
                None => done.plaintext = counts(1),
                Some(_) => done.mutual_tls = counts(1),
            }
        }
        2 | 3 => {
            let caller = Caller::http2(source);
            let caller = match turn % 5 {
                2 => caller,
                _ => caller.over_mesh(identity),
            };
            caller.call(ports.http).await.context("HTTP/2")?;
            match turn % 5 {
                2 => done.plaintext = counts(1),
                _ => done.mutual_tls = counts(1),
            }
        }
        _ => {
            let dial = Dial {
                source,
                identity: None,
                to: ports.tcp,
            };
            let mut stream = dial.open(CallerProtocol::Bytes, End::Reset).await?;
            for _ in 0..2 {
                echo(&mut stream).await.context("bytes")?;
            }
            done.plaintext = counts(0);
        }
    }
    Ok(done)
}
