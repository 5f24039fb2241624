//! Mixed load in rounds; after each round every counter must equal what was done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use plainsight_harness::callers::{Caller, Connection};
use plainsight_harness::pki::Mesh;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::conversation::{Conversation, Ports};
use crate::memory::{Memory, PAGE_KIB, linear_kib, resident_kib};
use crate::tally::{Counts, OVERFLOW, Tally, equal};
use crate::target::{Target, WORKERS};
use crate::wire::Dial;

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The minimum number of rounds.
    pub rounds: u32,
    /// The minimum time.
    pub at_least: Duration,
    /// Conversations of each kind per round.
    pub each: u32,
    /// Conversations at the same time.
    pub at_once: usize,
    /// Connections of each kind that stay open for a whole round.
    pub held: usize,
    /// With plainsight; without, nothing is counted, and the memory is that of Envoy alone.
    pub plainsight: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that was done, and counted.
    pub done: Tally,
    /// Pipelined requests that Envoy left unanswered.
    pub cut: u64,
    /// Rounds.
    pub rounds: u32,
    /// Resident memory of Envoy after each round.
    pub resident: Memory,
    /// Linear memory of the filter's VMs after each round.
    pub linear: Memory,
    /// How long it took.
    pub took: Duration,
}

/// How much the process may grow: Envoy alone takes 0.9 KiB for each connection that has come and gone (measured
/// with 1.40.0, `make stress/soak-bare`).
const KIB_PER_CONNECTION: u64 = 2;
/// And so much for the start.
const SLACK_KIB: u64 = 16 * 1024;

/// Source addresses of plaintext clients: few, so that every worker has seen all of them soon.
const SOURCES: u32 = 20;

/// Runs the load.
///
/// # Errors
/// A conversation failed, a counter differs from what was done, or memory is not flat.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let mut target = if plan.plainsight {
        Target::start(json!({}), 1).await?
    } else {
        Target::bare(1).await?
    };
    let outcome = rounds(&target, plan).await;
    ensure!(
        target.envoy.is_running(),
        "envoy: ended\n{}",
        target.envoy.log_tail()
    );
    outcome
}

async fn rounds(target: &Target, plan: Plan) -> anyhow::Result<Report> {
    let started = Instant::now();
    let mut report = Report::default();
    while report.rounds < plan.rounds || started.elapsed() < plan.at_least {
        let what = format!("round {}", report.rounds);
        let done = round(target, plan, report.done).await.context(what)?;
        (report.done, report.cut) = (done.0, report.cut + done.1);
        report.rounds += 1;
        let envoy = target.envoy.pid();
        report.resident.record(resident_kib(envoy)?);
        if plan.plainsight {
            report.linear.record(linear_kib(envoy)?);
        }
    }
    report.took = started.elapsed();
    let allowed = SLACK_KIB + KIB_PER_CONNECTION * report.done.opened();
    report.resident.is_flat(allowed).context("resident")?;
    if plan.plainsight {
        // A page for each VM, of each worker and of the main thread: it may be asked for late.
        let page_each = PAGE_KIB * u64::from(WORKERS + 1);
        report.linear.is_flat(page_each).context("VMs")?;
    }
    Ok(report)
}

/// One round; gives what was done up to its end, and how many requests Envoy cut off in it.
async fn round(target: &Target, plan: Plan, before: Tally) -> anyhow::Result<(Tally, u64)> {
    let (ports, mesh) = (target.both(), target.mesh());
    let (mut held, held_counts) = hold_open(ports, &mesh, plan.held).await?;
    let mut done = converse(ports, &mesh, plan).await?;

    for connection in &mut held {
        connection.exchange("/").await?;
    }
    for connection in held {
        connection.close().await;
    }
    done += held_counts;

    let mut all = before;
    all += done;
    let cut = all.cut.iter().sum();
    if plan.plainsight {
        let scrape = target
            .envoy
            .scrape_until("the counters equal what was done", |scrape| {
                all.matches(scrape)?;
                equal(scrape, OVERFLOW, &[], 0)
            })
            .await?;
        all.settle(&scrape);
    }
    Ok((all, cut))
}

/// Opens connections of every kind that stay, each with one exchange; gives them with the counts they will
/// have after a second exchange.
async fn hold_open(
    ports: Ports,
    mesh: &Mesh,
    each: usize,
) -> anyhow::Result<(Vec<Connection>, Tally)> {
    let mut held = Vec::new();
    let mut counts = Tally::default();
    for at in 0..each {
        let source = format!("127.1.0.{}", 1 + at % 20);
        for (caller, port, requests) in [
            (Caller::http1(&source), ports.http, 2),
            (Caller::http2(&source), ports.http, 2),
            (Caller::grpc(&source), ports.http, 1),
            (Caller::bytes(&source), ports.tcp, 0),
        ] {
            let counted = Counts {
                connections: 1,
                requests,
            };
            counts.plaintext += counted;
            counts.mutual_tls += counted;
            for caller in [caller.clone(), caller.over_mesh(&mesh.client)] {
                let mut connection = caller.connect(port).await?;
                connection.exchange("/").await?;
                held.push(connection);
            }
        }
    }
    Ok((held, counts))
}

/// All conversations of a round, mixed.
async fn converse(ports: Ports, mesh: &Arc<Mesh>, plan: Plan) -> anyhow::Result<Tally> {
    let places = Arc::new(Semaphore::new(plan.at_once));
    let mut open = JoinSet::new();
    let both = Conversation::BOTH
        .into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)]);
    let plain = Conversation::PLAIN_ONLY.map(|kind| (kind, false));
    let kinds: Vec<_> = both.chain(plain).collect();
    for turn in 0..plan.each {
        for (at, &(kind, mutual_tls)) in kinds.iter().enumerate() {
            let place = Arc::clone(&places).acquire_owned().await?;
            let mesh = Arc::clone(mesh);
            let source = (turn * 31 + at as u32) % SOURCES;
            open.spawn(async move {
                let dial = Dial {
                    source: &format!("127.1.0.{}", 1 + source),
                    identity: mutual_tls.then_some(&mesh.client),
                    to: kind.port(ports),
                };
                let done = kind.hold(&dial).await;
                drop(place);
                done.with_context(|| format!("{kind:?}, mutual TLS: {mutual_tls}"))
            });
        }
    }
    let mut done = Tally::default();
    while let Some(outcome) = open.join_next().await {
        done += outcome??;
    }
    Ok(done)
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            done,
            cut,
            rounds,
            resident,
            linear,
            took,
        } = self;
        writeln!(
            f,
            "{} connections and {} requests in {rounds} rounds and {:.0} s",
            done.opened(),
            done.requests(),
            took.as_secs_f64()
        )?;
        for (peer, counts) in [
            ("plaintext", done.plaintext),
            ("mutual_tls", done.mutual_tls),
            ("tls_passthrough", done.tls_passthrough),
        ] {
            writeln!(
                f,
                "  {peer}: {} connections, {} requests",
                counts.connections, counts.requests
            )?;
        }
        writeln!(f, "  handshake failures: {}", done.handshake_failures)?;
        writeln!(f, "  pipelined requests that Envoy left unanswered: {cut}")?;
        writeln!(f, "  connections without a count: {}", done.silent)?;
        write!(f, "  resident memory of the process: {resident}")?;
        if linear.samples().is_empty() {
            return Ok(());
        }
        write!(f, "\n  linear memory of all VMs: {linear}")
    }
}
