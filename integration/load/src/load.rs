//! Mixed load in rounds; after each round every counter must equal the calls made.

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

/// The amount of load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The minimum number of rounds.
    pub rounds: u32,
    /// The minimum time.
    pub at_least: Duration,
    /// Conversations of each kind per round.
    pub each: u32,
    /// Concurrent conversations.
    pub at_once: usize,
    /// Connections of each kind that stay open for a whole round.
    pub held: usize,
    /// Whether plainsight is installed; without it nothing is counted, and the memory is that of Envoy alone.
    pub plainsight: bool,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All connections and requests made, which equal the counts.
    pub done: Tally,
    /// Pipelined requests that Envoy left unanswered.
    pub cut: u64,
    /// Rounds.
    pub rounds: u32,
    /// Resident memory of Envoy after each round.
    pub resident: Memory,
    /// Linear memory of the filter's VMs after each round.
    pub linear: Memory,
    /// The duration.
    pub took: Duration,
}

/// Max growth of the process per connection: Envoy alone grows by 0.9 KiB for each closed connection (measured with
/// 1.40.0, `make stress/soak-bare`).
const KIB_PER_CONNECTION: u64 = 2;
/// Additional allowance for the start.
const SLACK_KIB: u64 = 16 * 1024;

/// Source addresses of plaintext clients: few, so that every worker soon sees all of them.
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
        // One page for each VM, of the workers and of the main thread, which it may allocate late.
        let page_each = PAGE_KIB * u64::from(WORKERS + 1);
        report.linear.is_flat(page_each).context("VMs")?;
    }
    Ok(report)
}

/// Runs one round. Returns the tally up to its end, and the number of requests that Envoy cut off in it.
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

/// Opens persistent connections of every kind, each with one exchange. Returns them with their counts after a second
/// exchange.
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
