//! The callers: address, protocol, and identity in Kubernetes.

use std::fmt::Write as _;

use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::kube_state_metrics::Cluster;

use crate::places::Places;

/// The SPIFFE id of the server.
pub const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
/// The SPIFFE id of the caller with a sidecar.
pub const STOREFRONT: &str = "spiffe://cluster.local/ns/shop/sa/storefront";

/// The Kubernetes object behind a caller's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A pod of a Deployment with a sidecar.
    Injected(&'static str, &'static str),
    /// A pod of a Deployment without one.
    Deployment(&'static str, &'static str),
    /// A pod of a Job that a CronJob made.
    CronJob(&'static str, &'static str),
    /// A pod of a StatefulSet.
    StatefulSet(&'static str, &'static str),
    /// A node; its pods with `hostNetwork` have the same address.
    Node(&'static str),
    /// No pod at all.
    Machine,
}

/// One caller.
pub struct Member {
    /// The address it calls from.
    pub address: &'static str,
    /// The object behind the address.
    pub home: Home,
    /// The ports of the called workload that it calls.
    pub ports: &'static [u16],
    /// The description that the demo prints.
    pub does: &'static str,
}

/// The callers in the order they call.
pub static CAST: [Member; 6] = [
    Member {
        address: "127.0.0.10",
        home: Home::Injected("shop", "storefront"),
        ports: &[8080, 9000],
        does: "the storefront, through its sidecar: HTTP and TCP",
    },
    Member {
        address: "127.0.0.21",
        home: Home::CronJob("billing", "legacy-cron"),
        ports: &[7777, 8080],
        does: "a CronJob without a sidecar: plain HTTP, also on a port that no Service declares",
    },
    Member {
        address: "127.0.0.22",
        home: Home::Node("node-1"),
        ports: &[8080],
        does: "a kubelet's probe, from its node's address",
    },
    Member {
        address: "127.0.0.23",
        home: Home::StatefulSet("monitoring", "prometheus"),
        ports: &[8080],
        does: "a Prometheus outside the mesh, scraping",
    },
    Member {
        address: "127.0.0.65",
        home: Home::Machine,
        ports: &[9000],
        does: "a virtual machine: plain TCP, its address named in the configuration",
    },
    Member {
        address: "127.0.0.25",
        home: Home::Deployment("finance", "reports"),
        ports: &[7000],
        does: "a client with its own TLS, which the sidecar passes through",
    },
];

/// Those without a sidecar: STRICT would break each of them.
pub fn plaintext() -> impl Iterator<Item = &'static Member> {
    let has_none = |member: &&Member| !matches!(member.home, Home::Injected(..));
    CAST.iter().filter(has_none)
}

/// The cluster that the callers are part of.
pub fn cluster() -> Cluster {
    let node = CAST.iter().find_map(|member| match member.home {
        Home::Node(name) => Some((name, member.address)),
        _ => None,
    });
    let (name, address) = node.unwrap_or_default();
    let called = Cluster::new(name, address).deployment("shop", "orders", "127.0.0.1");
    CAST.iter().fold(called.injected(), |cluster, member| {
        let address = member.address;
        match member.home {
            Home::Injected(namespace, name) => {
                cluster.deployment(namespace, name, address).injected()
            }
            Home::Deployment(namespace, name) => cluster.deployment(namespace, name, address),
            Home::CronJob(namespace, name) => cluster.cron_job(namespace, name, address),
            Home::StatefulSet(namespace, name) => cluster.stateful_set(namespace, name, address),
            // Two pods with the node's address: such a caller is named after the node.
            Home::Node(_) => cluster
                .daemon_set("kube-system", "kube-proxy")
                .daemon_set("kube-system", "node-exporter"),
            Home::Machine => cluster,
        }
    })
}

/// The list of callers that the demo prints.
pub fn cast() -> String {
    let mut text = String::new();
    for Member { address, does, .. } in &CAST {
        let _ = writeln!(text, "  {address:<11} {does}");
    }
    text
}

/// Makes all calls; the table then shows their counts. Returns the number of requests that the server's sidecar could
/// parse, which excludes those in passed-through TLS.
///
/// # Errors
/// A call was not answered; PERMISSIVE serves them all.
pub async fn call(places: &Places) -> anyhow::Result<u64> {
    let [_, cron, probe, scraper, machine, reports] = CAST.each_ref().map(|member| member.address);
    let mut requests = 0;
    // The application behind the client's sidecar; the server sees the sidecar's address, not this one.
    for _ in 0..5 {
        Caller::http1("127.0.0.1")
            .get(places.address(8001), "/orders")
            .await?;
        requests += 1;
    }
    Caller::bytes("127.0.0.1")
        .call(places.address(8002))
        .await?;

    for _ in 0..3 {
        Caller::http1(cron)
            .get(places.address(8080), "/orders/export")
            .await?;
        requests += 1;
    }
    Caller::http1(cron)
        .get(places.address(7777), "/debug")
        .await?;
    requests += 1;

    let probe = Caller::http1(probe).with_header("user-agent", "kube-probe/1.31");
    for _ in 0..4 {
        probe.get(places.address(8080), "/healthz").await?;
        requests += 1;
    }

    let scraper = Caller::http1(scraper).with_header("user-agent", "Prometheus/2.53.0");
    let mut connection = scraper.connect(places.address(8080)).await?;
    for _ in 0..2 {
        connection.exchange("/metrics").await?;
        requests += 1;
    }
    connection.close().await;

    for _ in 0..2 {
        Caller::bytes(machine).call(places.address(9000)).await?;
    }
    Caller::http1(reports)
        .over(Tls::own(TlsVersion::V1_3))
        .get(places.address(7000), "/report")
        .await?;
    Ok(requests)
}
