//! A cardinality attack: callers that try to create as many series as possible.
//!
//! Distinct source addresses in 127.0.0.0/8, forged headers, ports, certificates. After each wave the number of series
//! is checked against the bound, and every connection and request must be counted, in its own series or as overflow.

mod script;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use plainsight_harness::callers::Caller;
use plainsight_harness::exposition::{Sample, Scrape};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bound::{Bound, distinct};
use crate::tally::{CONNECTIONS, Counts, HANDSHAKE_FAILURES, OVERFLOW, REQUESTS, Tally, equal};
use crate::target::{Target, WORKERS};
use script::Act;

/// The size of the attack.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Distinct source addresses.
    pub addresses: u32,
    /// `maxCallers`, per worker.
    pub max_callers: u32,
    /// Distinct SPIFFE ids.
    pub identities: u32,
    /// Addresses whose handshake fails.
    pub failing: u32,
    /// Destination ports.
    pub ports: usize,
    /// Concurrent conversations.
    pub at_once: usize,
    /// The number of waves that the addresses are split into.
    pub waves: u32,
}

/// The result of an attack.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All connections and requests made, which equal the counts.
    pub done: Tally,
    /// The max number of series.
    pub series: u64,
    /// The bound.
    pub bound: u64,
    /// `plainsight_overflow_total` at the end.
    pub overflow: u64,
    /// The median request time of an existing caller before and after the attack.
    pub latency: [Duration; 2],
    /// The duration.
    pub took: Duration,
}

/// The address of the `at`th attacker: 127.16.0.0 and up.
fn attacker(at: u32) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from_bits(0x7f10_0000 + at)
}

/// A caller that exists before the attack.
const WITNESS: &str = "127.0.0.7";

struct Attack {
    target: Target,
    bound: Bound,
    places: Arc<Semaphore>,
    report: Report,
    /// The counts of each address, including the witness.
    by_address: HashMap<String, Counts>,
}

/// Runs the attack.
///
/// # Errors
/// The bound is exceeded, a count is wrong, or a request was lost.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let started = Instant::now();
    let configuration = json!({
        "maxCallers": plan.max_callers,
        "principals": true,
    });
    let bound = Bound {
        workers: WORKERS.into(),
        max_callers: plan.max_callers.into(),
        principals: true,
    };
    let mut attack = Attack {
        target: Target::start(configuration, plan.ports).await?,
        bound,
        places: Arc::new(Semaphore::new(plan.at_once)),
        report: Report {
            bound: bound.series(),
            ..Report::default()
        },
        by_address: HashMap::new(),
    };
    attack.report.latency[0] = attack.witness().await?;
    attack.addresses(plan).await.context("addresses")?;
    attack.handshakes(plan).await.context("handshakes")?;
    attack.ports(plan).await.context("ports")?;
    attack.identities(plan).await.context("identities")?;
    attack.report.latency[1] = attack.witness().await?;
    let scrape = attack.counted().await?;
    attack.report.overflow = scrape.sum(OVERFLOW, &[]) as u64;
    ensure!(
        attack.target.envoy.is_running(),
        "envoy: ended\n{}",
        attack.target.envoy.log_tail()
    );
    attack.report.took = started.elapsed();
    Ok(attack.report)
}

impl Attack {
    /// Many addresses with forged headers.
    async fn addresses(&mut self, plan: Plan) -> anyhow::Result<()> {
        let wave = plan.addresses.div_ceil(plan.waves);
        for first in (0..plan.addresses).step_by(wave as usize) {
            let last = plan.addresses.min(first + wave);
            let ports = self.target.both();
            let acts = (first..last).map(|at| Act::forging(at, ports));
            self.perform(acts).await?;
            let scrape = self.counted().await?;
            self.own_series_are_exact(&scrape)?;
        }
        let scrape = self.counted().await?;
        let callers = distinct(&scrape, CONNECTIONS, "source_ip");
        self.cap_is_reached("callers", callers.len(), plan.addresses)?;
        ensure!(
            callers.iter().all(|caller| caller.starts_with("127.")),
            "a forged address became a label: {callers:?}"
        );
        Ok(())
    }

    /// New addresses whose handshakes fail.
    async fn handshakes(&mut self, plan: Plan) -> anyhow::Result<()> {
        let fresh = plan.addresses..plan.addresses + plan.failing;
        let port = self.target.both().http;
        let acts = fresh.map(|at| Act::without_certificate(at, port));
        self.perform(acts).await?;
        let scrape = self.counted().await?;
        // They have a separate cap: the earlier addresses have used up another one.
        let failed = distinct(&scrape, HANDSHAKE_FAILURES, "source_ip");
        self.cap_is_reached("failed handshakes", failed.len(), plan.failing)
    }

    /// Callers with and without their own series, on every port.
    async fn ports(&mut self, plan: Plan) -> anyhow::Result<()> {
        let scrape = self.counted().await?;
        let mut sources: Vec<String> = distinct(&scrape, CONNECTIONS, "source_ip")
            .into_iter()
            .take(plan.max_callers as usize / 20 + 2)
            .map(str::to_owned)
            .collect();
        sources.extend((0..5).map(|at| attacker(plan.addresses - 1 - at).to_string()));
        let ports = self.target.ports[1..].to_vec();
        let acts: Vec<_> = sources
            .iter()
            .flat_map(|source| ports.iter().map(|port| Act::bytes(source, *port)))
            .collect();
        self.perform(acts.into_iter()).await?;
        self.counted().await?;
        Ok(())
    }

    /// Many certificates of the mesh, with SPIFFE ids that try to forge labels.
    async fn identities(&mut self, plan: Plan) -> anyhow::Result<()> {
        let mesh = self.target.mesh();
        let port = self.target.both().http;
        let mut acts = Vec::new();
        for at in 0..plan.identities {
            let id = match at % 3 {
                0 => format!("spiffe://cluster.local/ns/shop/sa/web-{at}"),
                1 => format!("spiffe://cache.example.com/ns/a,peer=plaintext;.sa/{at}"),
                _ => format!("spiffe://x/rbac.allowed=.=;.;source_ip=.=9.9.9.9;.;{at}"),
            };
            acts.push(Act::identity(at, mesh.authority.spiffe(&id)?, port));
        }
        self.perform(acts.into_iter()).await?;
        let scrape = self.counted().await?;
        let named = distinct(&scrape, CONNECTIONS, "source_principal").len();
        self.cap_is_reached("principals", named, plan.identities)?;
        // Each of them called once, so each is in its own series or in the overflow.
        let overflow = [("source_principal", "overflow")];
        let beyond = u64::from(plan.identities) - named as u64;
        equal(&scrape, CONNECTIONS, &overflow, beyond)?;
        equal(&scrape, REQUESTS, &overflow, beyond)
    }

    /// Each worker names as many as the cap allows. The kernel distributes connections over the workers, so with four
    /// times as many names every worker reaches its cap.
    fn cap_is_reached(&self, what: &str, named: usize, tried: u32) -> anyhow::Result<()> {
        let most = self.bound.names();
        ensure!(
            u64::from(tried) >= 4 * most,
            "{what}: {tried} are too few for {most}"
        );
        ensure!(
            named as u64 == most,
            "{what}: {named} are named, expected {most}"
        );
        Ok(())
    }

    async fn perform(&mut self, acts: impl Iterator<Item = Act>) -> anyhow::Result<()> {
        let mut open = JoinSet::new();
        for act in acts {
            let counts = act.counts();
            self.report.done += counts;
            if counts.handshake_failures == 0 && counts.mutual_tls == Counts::default() {
                let of_address = self.by_address.entry(act.source.clone()).or_default();
                *of_address += counts.plaintext;
                *of_address += counts.tls_passthrough;
            }
            let place = Arc::clone(&self.places).acquire_owned().await?;
            open.spawn(async move {
                let outcome = act.perform().await;
                drop(place);
                outcome.with_context(|| format!("lost: {act:?}"))
            });
            while let Some(done) = open.try_join_next() {
                done??;
            }
        }
        while let Some(done) = open.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Waits until everything is counted, and checks the bound and the overflow counter.
    async fn counted(&mut self) -> anyhow::Result<Scrape> {
        let done = self.report.done;
        let scrape = self
            .target
            .envoy
            .scrape_until("everything is counted", |scrape| done.matches(scrape))
            .await?;
        self.report.series = self.report.series.max(self.bound.holds(&scrape)?);
        // The overflow counter is the sum of all series with an `overflow` label.
        let counters = [CONNECTIONS, REQUESTS, HANDSHAKE_FAILURES];
        let beyond: f64 = scrape
            .samples
            .iter()
            .filter(|sample| counters.contains(&sample.name.as_str()))
            .filter(|sample| sample.labels.values().any(|value| value == "overflow"))
            .map(|sample| sample.value)
            .sum();
        equal(&scrape, OVERFLOW, &[], beyond as u64)?;
        Ok(scrape)
    }

    /// An address with its own series has all of its conversations there.
    fn own_series_are_exact(&self, scrape: &Scrape) -> anyhow::Result<()> {
        let mut own: HashMap<&str, Counts> = HashMap::new();
        for metric in [CONNECTIONS, REQUESTS] {
            for sample in scrape.matching(metric, &[]) {
                let Some(ip) = sample.label("source_ip").filter(|ip| *ip != "overflow") else {
                    continue;
                };
                let Sample { value, .. } = sample;
                let counts = own.entry(ip).or_default();
                if metric == CONNECTIONS {
                    counts.connections += *value as u64;
                } else {
                    counts.requests += *value as u64;
                }
            }
        }
        for (ip, counted) in own {
            let done = self.by_address.get(ip).copied().unwrap_or_default();
            ensure!(counted == done, "{ip}: counted {counted:?}, done {done:?}");
        }
        Ok(())
    }

    /// Sends 300 requests of a caller with its own series and returns the median time.
    async fn witness(&mut self) -> anyhow::Result<Duration> {
        const ASKED: u64 = 300;
        let caller = Caller::http1(WITNESS);
        let mut connection = caller.connect(self.target.both().http).await?;
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let asked = Instant::now();
            let reply = connection.exchange("/").await?;
            times.push(asked.elapsed());
            ensure!(reply.status == 200, "witness: status {}", reply.status);
        }
        connection.close().await;
        let counts = Counts {
            connections: 1,
            requests: ASKED,
        };
        self.report.done.plaintext += counts;
        *self.by_address.entry(WITNESS.to_owned()).or_default() += counts;
        times.sort_unstable();
        Ok(times[times.len() / 2])
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            done,
            series,
            bound,
            overflow,
            latency: [before, after],
            took,
        } = self;
        writeln!(
            f,
            "{} connections and {} requests in {:.0} s, none lost",
            done.opened(),
            done.requests(),
            took.as_secs_f64()
        )?;
        writeln!(f, "  series: {series} at most, bound {bound}")?;
        writeln!(
            f,
            "  counted as overflow, exactly: {overflow} connections, requests and handshakes"
        )?;
        write!(
            f,
            "  median request of an existing caller: {before:?}, after the attack {after:?}"
        )
    }
}
