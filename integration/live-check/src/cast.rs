//! The callers: some call all the time, one called once, two come late to what was ready.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use plainsight_harness::callers::{Caller, Speaks, Tls, TlsVersion};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::addresses::{
    CRON, MACHINE, NEWCOMER, NODE, OLD_CLIENT, PORT_NEWCOMER, PROMETHEUS, REPORTS, SIDECAR,
    STRANGER, STRANGER_TOO_MANY,
};
use crate::prometheus::Prometheus;
use crate::sidecars::{Pod, Sidecars};

/// Between two calls of a caller that calls all the time.
const PAUSE: Duration = Duration::from_millis(500);

/// Callers that go on calling until they are stopped.
pub struct Traffic {
    end: watch::Sender<bool>,
    callers: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Traffic {
    fn new() -> Self {
        Self {
            end: watch::Sender::new(false),
            callers: Vec::new(),
        }
    }

    /// Calls once, then again and again. The first call has come to its answer when this returns.
    async fn keep_calling(&mut self, caller: Caller, to: SocketAddr) -> anyhow::Result<()> {
        let call = async move |caller: &Caller| match &caller.tls {
            // Offers no certificate where one is required: the handshake must fail.
            Some(tls)
                if tls.identity.is_none()
                    && tls.alpn.iter().any(|name| name.starts_with("istio")) =>
            {
                ensure!(
                    caller.call(to).await.is_err(),
                    "{}: a handshake without a certificate came about",
                    caller.source
                );
                Ok(())
            }
            _ => caller.call(to).await.map(drop),
        };
        call(&caller)
            .await
            .with_context(|| format!("{} to {to}", caller.source))?;
        let mut end = self.end.subscribe();
        self.callers.push(tokio::spawn(async move {
            while tokio::time::timeout(PAUSE, end.wait_for(|end| *end))
                .await
                .is_err()
            {
                call(&caller)
                    .await
                    .with_context(|| format!("{} to {to}", caller.source))?;
            }
            Ok(())
        }));
        Ok(())
    }

    /// Ends the callers.
    ///
    /// # Errors
    /// One of them had a call that did not come to its answer; PERMISSIVE serves them all.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.end.send_replace(true);
        for caller in self.callers {
            caller.await??;
        }
        Ok(())
    }
}

/// Everybody calls; returns when the windows have passed over the one that called once.
///
/// # Errors
/// A call failed, or Prometheus did not see in time what must come.
pub async fn play(sidecars: &Sidecars, prometheus: &Prometheus) -> anyhow::Result<Traffic> {
    let mut traffic = Traffic::new();
    let Sidecars {
        web,
        ledger,
        vault,
        api,
        ..
    } = sidecars;

    // With mutual TLS first: reporting begins.
    for (pod, port) in [(web, 0), (web, 3), (ledger, 0), (vault, 0), (api, 0)] {
        traffic
            .keep_calling(
                Caller::http1(SIDECAR).over_mesh(&pod.client),
                address(pod, port),
            )
            .await?;
    }
    prometheus
        .until(
            "all workloads have been reporting for three seconds",
            "plainsight:workload:reporting_since_timestamp_seconds < time() - 3",
            |rows| {
                ensure!(rows.len() == 4, "{} of 4 workloads", rows.len());
                Ok(())
            },
        )
        .await?;
    prometheus
        .until(
            "the holders of the addresses are known",
            "plainsight:address:holder_since_timestamp_seconds",
            |rows| {
                ensure!(rows.len() == 6, "{} of 6 holders", rows.len());
                Ok(())
            },
        )
        .await?;

    let http = address(web, 0);
    Caller::http1(CRON).call(http).await?;
    let agent = |source, agent| Caller::http1(source).with_header("user-agent", agent);
    traffic
        .keep_calling(agent(NODE, "kube-probe/1.31"), http)
        .await?;
    traffic
        .keep_calling(agent(PROMETHEUS, "Prometheus/2.53.0"), http)
        .await?;
    traffic.keep_calling(Caller::http1(MACHINE), http).await?;
    traffic
        .keep_calling(Caller::bytes(REPORTS), address(web, 1))
        .await?;
    traffic
        .keep_calling(
            Caller::http1(REPORTS).over(Tls::own(TlsVersion::V1_3)),
            address(web, 1),
        )
        .await?;
    traffic
        .keep_calling(Caller::http1(STRANGER), address(web, 2))
        .await?;
    traffic
        .keep_calling(
            Caller::http1(OLD_CLIENT).over(Tls::mesh(None, Speaks::Http1)),
            http,
        )
        .await?;
    traffic
        .keep_calling(Caller::http1(STRANGER), address(ledger, 0))
        .await?;
    // The order matters: vault may name one caller only.
    traffic
        .keep_calling(Caller::http1(STRANGER), address(vault, 0))
        .await?;
    traffic
        .keep_calling(Caller::http1(STRANGER_TOO_MANY), address(vault, 0))
        .await?;

    // Ready for a "week", so that who comes now is news.
    for ready in [
        "plainsight:namespace:ready{window=\"7d\", counted=\"app\", destination_workload_namespace=\"quiet\"} == 1".to_owned(),
        format!("plainsight:port:ready{{window=\"7d\", counted=\"app\", destination_port=\"{}\"}} == 1", web.ports[3].number()),
    ] {
        prometheus
            .until("ready after its quiet time", &ready, |rows| {
                ensure!(rows.len() == 1, "not ready yet");
                Ok(())
            })
            .await?;
    }
    traffic
        .keep_calling(Caller::http1(NEWCOMER), address(api, 0))
        .await?;
    traffic
        .keep_calling(Caller::http1(PORT_NEWCOMER), address(web, 3))
        .await?;

    prometheus
        .until(
            "the CronJob has left every window but the longest",
            "plainsight:caller:blocking{caller=\"shop/legacy-cron\"}",
            |rows| {
                ensure!(
                    rows.len() == 1 && rows[0].label("window") == "30d",
                    "{} windows",
                    rows.len()
                );
                Ok(())
            },
        )
        .await?;
    Ok(traffic)
}

fn address(pod: &Pod, port: usize) -> SocketAddr {
    pod.ports[port].address()
}
