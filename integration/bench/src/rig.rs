//! The set-up of a measurement: Envoy with its listeners, the backends, and the loads.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use plainsight_harness::callers::{Tls, TlsVersion};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::eventually::eventually;
use plainsight_harness::pki::Mesh;

use crate::backend;
use crate::bootstrap::{Bench, DIRECT, LARGE, Modules};
use crate::load::client::{Clients, LOCALHOST, Target, caller};
use crate::load::stream::Streams;
use crate::load::{Limit, connections, tools};
use crate::schedstat;
use crate::variant::{CALLER_CONNECTIONS, CROWD, Cell, Chain, Listener, Workload};

/// Keep-alive connections of a request load.
pub const KEEP_ALIVE: usize = 16;

/// Streams of a TCP load.
const STREAMS: usize = 4;

/// Chunks sent through the streams before the measurement, because socket buffers grow with the first megabytes.
const WARM_UP: Limit = Limit::Units(1_000);

/// New connections opened concurrently.
const AT_ONCE: usize = 8;

/// One block's result.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The number of requests, connections or bytes served.
    pub served: u64,
    /// The CPU time of Envoy's threads during the block.
    pub cpu: Duration,
}

/// A running Envoy with its backends.
pub struct Rig {
    /// The measured process.
    pub envoy: Envoy,
    backends: backend::Running,
    targets: BTreeMap<Listener, Target>,
}

impl Rig {
    /// Starts the backends and Envoy with these listeners and workers, pinned to `cpu` if given.
    ///
    /// # Errors
    /// Envoy does not start or a listener is missing.
    pub async fn start(
        modules: &Modules,
        listeners: &[Listener],
        cpu: Option<usize>,
        workers: u32,
    ) -> Result<Self> {
        let backends = backend::Running::start().await?;
        let mesh = Mesh::new()?;
        let envoy = Envoy::start(&Bench {
            listeners,
            modules,
            backends: backends.backends,
            mesh: &mesh,
            cpu,
            workers,
        })
        .await?;
        let mut targets = BTreeMap::new();
        for &listener in listeners {
            let tls = (listener.chain == Chain::MutualTls).then(|| {
                Tls::own(TlsVersion::V1_3)
                    .without_alpn()
                    .with_identity(&mesh.client)
            });
            let address = envoy.listener_address(&listener.to_string()).await?;
            targets.insert(listener, Target { address, tls });
        }
        Ok(Self {
            envoy,
            backends,
            targets,
        })
    }

    /// The target of this listener.
    ///
    /// # Errors
    /// The rig was started without it.
    pub fn target(&self, listener: Listener) -> Result<&Target> {
        let target = self.targets.get(&listener);
        target.with_context(|| format!("listener {listener}: not in this run"))
    }

    /// Runs the cell's load on its listener. Persistent connections are opened before the measurement and closed after
    /// it.
    ///
    /// # Errors
    /// Anything was not served, or the load does not support this kind of limit.
    pub async fn measure(&self, cell: Cell, limit: Limit) -> Result<Sample> {
        let target = self.target(cell.listener())?;
        match (cell.workload, limit) {
            (Workload::Http1, Limit::Time(time)) => {
                let load = async || tools::wrk(target.address, KEEP_ALIVE, time).await;
                self.costs(load).await
            }
            (Workload::Http1, Limit::Units(_)) => {
                bail!("{}: wrk takes a time, no number", cell.workload)
            }
            (Workload::Http2, Limit::Units(requests)) => {
                let load = async || tools::h2load(target.address, KEEP_ALIVE, requests).await;
                self.costs(load).await
            }
            (Workload::Http2, Limit::Time(_)) => bail!("http2: h2load takes a number here"),
            (Workload::Http1MutualTls | Workload::Open(_), _) => {
                let sources = vec![LOCALHOST; KEEP_ALIVE];
                self.requests(target, DIRECT, sources, limit).await
            }
            (Workload::LargeBody, _) => {
                let sources = vec![LOCALHOST; KEEP_ALIVE];
                self.requests(target, LARGE, sources, limit).await
            }
            (Workload::Callers(callers), _) => {
                let callers = u16::try_from(callers)?;
                let sources = (0..callers).map(caller).cycle();
                let sources = sources.take(CALLER_CONNECTIONS).collect();
                self.requests(target, DIRECT, sources, limit).await
            }
            (Workload::NewConnections | Workload::NewMutualTlsConnections, _) => {
                self.costs(async || connections::open_and_close(target, AT_ONCE, limit).await)
                    .await
            }
            (Workload::TcpUpload, _) => {
                let mut streams = Streams::open(target, STREAMS).await?;
                let swallowed = &self.backends.swallowed;
                streams.upload(WARM_UP, swallowed).await?;
                self.costs(async || streams.upload(limit, swallowed).await)
                    .await
            }
            (Workload::TcpDownload, _) => {
                let mut streams = Streams::open(target, STREAMS).await?;
                streams.download(WARM_UP).await?;
                self.costs(async || streams.download(limit).await).await
            }
        }
    }

    async fn requests(
        &self,
        target: &Target,
        path: &str,
        sources: Vec<std::net::IpAddr>,
        limit: Limit,
    ) -> Result<Sample> {
        let mut clients = Clients::open(target, path, sources).await?;
        self.costs(async || clients.send(limit).await).await
    }

    async fn costs(&self, load: impl AsyncFnOnce() -> Result<u64>) -> Result<Sample> {
        settle().await;
        let before = self.cpu_time()?;
        let served = load().await?;
        settle().await;
        let after = self.cpu_time()?;
        ensure!(served > 0, "load: nothing was served");
        Ok(Sample {
            served,
            cpu: after.saturating_sub(before),
        })
    }

    fn cpu_time(&self) -> Result<Duration> {
        schedstat::cpu_time(self.envoy.pid())
            .with_context(|| format!("envoy; its log: {}", self.envoy.log_tail()))
    }

    /// Opens the idle connections of the crowded [`Workload::Open`], each answered once.
    ///
    /// # Errors
    /// A connection fails: the limit of open files is the usual cause.
    pub async fn gather_crowd(&self, listener: Listener) -> Result<Clients> {
        let target = self.target(listener)?;
        Clients::open(target, DIRECT, vec![LOCALHOST; CROWD])
            .await
            .with_context(|| format!("{CROWD} connections; `ulimit -n` must allow them"))
    }

    /// Closes these connections and waits until Envoy has released them.
    ///
    /// # Errors
    /// Envoy still holds some after a minute.
    pub async fn dismiss_crowd(&self, listener: Listener, crowd: Clients) -> Result<()> {
        drop(crowd);
        let name = format!("http.{listener}.downstream_cx_active");
        eventually("the crowd has left", || async {
            let open = self.envoy.stats(&name).await?;
            ensure!(open.values().all(|&open| open == 0), "{open:?}");
            Ok(())
        })
        .await
    }
}

/// Lets Envoy finish its work after the last byte: a thread's time is accounted when it leaves its CPU.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}
