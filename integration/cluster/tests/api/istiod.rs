//! istiod's own answer: the listeners that it computes for a connected sidecar.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use plainsight_cli::model::mode::Mode;
use plainsight_cluster::cluster::{Cluster, ISTIO};
use plainsight_cluster::pod::Pod;
use plainsight_harness::callers::Caller;
use serde_json::Value;

/// The port of istiod's debug handlers, which ask callers on loopback for no token.
const DEBUG: u16 = 8080;

/// A running istiod.
pub struct Istiod(Arc<Pod>);

impl Istiod {
    /// The istiod of the default revision.
    pub async fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let pods = cluster.run_pods(ISTIO).await?;
        let mut pods = pods.into_iter();
        let found = pods.find(|pod| pod.object["metadata"]["labels"]["istio.io/rev"] == "default");
        Ok(Self(found.context("no istiod of the default revision")?))
    }

    /// The inbound listener of a sidecar, computed from the last change that istiod pushed to it.
    pub async fn inbound(&self, pod: &Pod) -> anyhow::Result<Inbound> {
        let namespace = pod.object["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let path = format!("/debug/config_dump?proxyID={}.{namespace}", pod.name());
        let get = async move {
            let to = (Ipv4Addr::LOCALHOST, DEBUG).into();
            Caller::http1("127.0.0.1").get(to, &path).await
        };
        let reply = self.0.run(get).await?;
        Inbound::parse(&serde_json::from_slice(&reply.body)?)
    }
}

/// The filter chains of a sidecar's inbound listener.
#[derive(Debug)]
pub struct Inbound {
    /// The number of the push; it grows with every change that istiod takes in.
    pub push: u64,
    /// Destination port and transport protocol.
    chains: Vec<(Option<u64>, String)>,
}

impl Inbound {
    fn parse(dump: &Value) -> anyhow::Result<Self> {
        let listeners = dump["configs"].as_array().into_iter().flatten();
        let inbound = listeners
            .filter_map(|config| config["dynamicListeners"].as_array())
            .flatten()
            .find(|listener| listener["name"] == "virtualInbound")
            .with_context(|| format!("no listener virtualInbound: {dump}"))?;
        let state = &inbound["activeState"];
        let push = state["versionInfo"]
            .as_str()
            .and_then(|version| version.rsplit('/').next());
        let chains = state["listener"]["filterChains"]
            .as_array()
            .context("no chains")?;
        let of_chain = |chain: &Value| {
            let wanted = &chain["filterChainMatch"];
            let transport = wanted["transportProtocol"].as_str().unwrap_or("any");
            (wanted["destinationPort"].as_u64(), transport.to_owned())
        };
        Ok(Self {
            push: push.context("no push version")?.parse()?,
            chains: chains.iter().map(of_chain).collect(),
        })
    }

    /// Whether the port has chains of its own.
    pub fn has_own_chains(&self, port: u16) -> bool {
        self.chains.iter().any(|(own, _)| *own == Some(port.into()))
    }

    /// The mode that the chains of a target port amount to: its own, or those of all ports.
    pub fn mode(&self, port: u16) -> anyhow::Result<Mode> {
        let place = self.has_own_chains(port).then_some(u64::from(port));
        let has = |protocol: &str| {
            self.chains
                .iter()
                .any(|(own, transport)| *own == place && transport == protocol)
        };
        ensure!(
            !has("any"),
            "port {port}: a chain for any transport: {self:?}"
        );
        match (has("tls"), has("raw_buffer")) {
            (true, true) => Ok(Mode::Permissive),
            (true, false) => Ok(Mode::Strict),
            (false, true) => Ok(Mode::Disable),
            (false, false) => anyhow::bail!("port {port}: no chain: {self:?}"),
        }
    }
}
