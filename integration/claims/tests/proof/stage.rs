//! The server's sidecar with all ports, the client's sidecars, and how a kind of caller calls them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, Tls};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::exposition::Scrape;
use plainsight_harness::pki::{Authority, Identity, Mesh};
use plainsight_harness::shapes::{ClientSidecar, Mode, Port, Protocol, Sidecar};
use serde_json::json;

use crate::expected::CONNECTIONS;
use crate::kinds::{Does, KINDS, Kind, Over, Place, Verdict};

/// The outcome of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Served,
    Refused(String),
    /// It sent no request.
    NotAsked,
}

pub struct Stage {
    envoy: Envoy,
    sidecar: Sidecar,
    ports: Vec<Port>,
    /// One identity per kind, so each kind of mutual TLS peer has its own series.
    identities: Vec<Identity>,
    foreign: Identity,
    without_uri: Identity,
    clients: BTreeMap<usize, (ClientSidecar, Envoy)>,
    envoy_version: String,
    _app: App,
}

impl Stage {
    pub async fn start() -> Self {
        let app = App::start().await.unwrap();
        let ports: Vec<_> = Place::ALL
            .into_iter()
            .map(|place| port(place, &app))
            .collect();
        let exempt = ports[Place::Exempt as usize].number();
        let configuration = json!({"principals": true, "exempt": [{"port": exempt}]});
        let sidecar = Sidecar::new(Mode::Permissive, ports.clone())
            .unwrap()
            .with_plainsight(configuration)
            .unwrap();
        let authority = &sidecar.mesh.authority;
        let identities = (0..KINDS.len())
            .map(|index| authority.spiffe(&principal(index)).unwrap())
            .collect();
        let without_uri = authority.without_uri().unwrap();
        let envoy = Envoy::start(&sidecar).await.unwrap();
        let envoy_version = envoy.version().await.unwrap();
        let mut clients = BTreeMap::new();
        for (index, kind) in KINDS
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.does == Does::ThroughSidecar)
        {
            let to = ports[kind.port as usize].address();
            let mut client =
                ClientSidecar::new(sidecar.mesh.clone(), source(index, kind), to).unwrap();
            if kind.speaks == plainsight_harness::callers::Speaks::Bytes {
                client = client.carrying_bytes();
            }
            let running = Envoy::start(&client).await.unwrap();
            clients.insert(index, (client, running));
        }
        let foreign = Authority::new("foreign")
            .unwrap()
            .spiffe(Mesh::CLIENT)
            .unwrap();
        Self {
            envoy,
            sidecar,
            ports,
            identities,
            foreign,
            without_uri,
            clients,
            envoy_version,
            _app: app,
        }
    }

    pub fn port(&self, place: Place) -> &Port {
        &self.ports[place as usize]
    }

    pub async fn switch_to(&mut self, mode: Mode) {
        self.sidecar = self.sidecar.in_mode(mode);
        self.envoy.apply(&self.sidecar).await.unwrap();
    }

    /// Runs one caller of the kind.
    pub async fn call(&self, index: usize, kind: &Kind) -> Fact {
        let source = source(index, kind);
        let mut caller = Caller::new(&source.to_string(), kind.speaks);
        if let Some(tls) = self.tls(index, kind) {
            caller = caller.over(tls);
        }
        let mut to = self.port(kind.port).address_for(source);
        let outcome = match kind.does {
            Does::ConnectAndClose => {
                caller.connect_and_close(to).await.unwrap();
                return Fact::NotAsked;
            }
            Does::CallAs(agent) => caller
                .with_header("user-agent", agent)
                .call(to)
                .await
                .map(drop),
            Does::Multiplex(requests) => caller.call_at_once(to, requests).await,
            Does::ThroughSidecar => {
                to = self.clients[&index].0.address();
                Caller::new("127.0.0.1", kind.speaks)
                    .call(to)
                    .await
                    .map(drop)
            }
            Does::Call | Does::CallOverIpv6 => caller.call(to).await.map(drop),
        };
        match outcome {
            Ok(()) => Fact::Served,
            Err(error) => {
                let error = format!("{error:#}");
                // No caller of this table may hang.
                assert!(
                    !error.contains("still not done"),
                    "{}: {error}\n{}",
                    kind.name,
                    self.envoy.log_tail()
                );
                Fact::Refused(error)
            }
        }
    }

    fn tls(&self, index: usize, kind: &Kind) -> Option<Tls> {
        let own = &self.identities[index];
        Some(match kind.over {
            Over::Plain => return None,
            Over::Mesh(version) => Tls::mesh(Some(own), kind.speaks).in_version(version),
            Over::MeshWithoutUri => Tls::mesh(Some(&self.without_uri), kind.speaks),
            Over::MeshForeign(version) => {
                Tls::mesh(Some(&self.foreign), kind.speaks).in_version(version)
            }
            Over::MeshWithoutCertificate(version) => {
                Tls::mesh(None, kind.speaks).in_version(version)
            }
            Over::Own(version) => Tls::own(version),
            Over::OwnWithoutSni(version) => Tls::own(version).without_sni(),
            Over::OwnHoldingMeshCertificate(version) => Tls::own(version).with_identity(own),
        })
    }

    /// Waits until the filter's metrics are exactly these lines.
    pub async fn expect(&self, lines: &[String]) -> Scrape {
        self.envoy
            .scrape_until("exactly the expected counts", |scrape| {
                let actual = crate::expected::counted(scrape);
                let missing: Vec<_> = lines.iter().filter(|line| !actual.contains(line)).collect();
                let surplus: Vec<_> = actual.iter().filter(|line| !lines.contains(line)).collect();
                anyhow::ensure!(
                    missing.is_empty() && surplus.is_empty(),
                    "missing: {missing:#?}, surplus: {surplus:#?}"
                );
                Ok(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.envoy.log_tail()))
    }

    /// The filter's verdict on a kind, from the series that carries its address or its principal.
    pub fn verdict(&self, scrape: &Scrape, index: usize, kind: &Kind) -> Verdict {
        let port = self.port(kind.port).label();
        let source = source(index, kind).to_string();
        let principal = self.principal(index, kind);
        let series = scrape.matching(CONNECTIONS, &[]).find(|sample| {
            sample.label("destination_port") == Some(&port)
                && match sample.label("source_ip") {
                    Some(address) => address == source,
                    None => {
                        sample.label("source_principal") == principal.as_deref() && is_mutual(kind)
                    }
                }
        });
        match series.and_then(|sample| sample.label("strict")) {
            Some("allow") => Verdict::Allow,
            Some("reject") => Verdict::Reject,
            Some("exempt") => Verdict::Exempt,
            Some(other) => panic!("{}: strict={other}", kind.name),
            None => Verdict::None,
        }
    }

    /// The label `source_principal` of a kind, if it uses mutual TLS.
    pub fn principal(&self, index: usize, kind: &Kind) -> Option<String> {
        match (kind.does, kind.port, kind.over) {
            (Does::ThroughSidecar, _, _) => Some(Mesh::CLIENT.to_owned()),
            (_, Place::Hbone, _) => Some(TUNNEL.to_owned()),
            (_, _, Over::MeshWithoutUri) => None,
            _ => Some(principal(index)),
        }
    }

    /// Such as `1.40.0`.
    pub fn envoy_version(&self) -> &str {
        &self.envoy_version
    }

    /// Envoy 1.36 has no reason of a failed handshake any more when the connection closes, so it looks like a caller
    /// that left; 1.37 and later have it.
    pub fn has_failure_reasons(&self) -> bool {
        !self.envoy_version.starts_with("1.36.")
    }
}

fn is_mutual(kind: &Kind) -> bool {
    matches!(
        kind.permissive,
        crate::kinds::Counts::Peer {
            peer: "mutual_tls",
            ..
        }
    )
}

const TUNNEL: &str = "spiffe://cluster.local/ns/shop/sa/tunnel";

fn principal(index: usize) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/kind-{index}")
}

/// Each kind has its own source address.
pub fn source(index: usize, kind: &Kind) -> IpAddr {
    match kind.does {
        Does::CallOverIpv6 => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]),
        _ => IpAddr::from([127, 0, 1, u8::try_from(index + 1).unwrap()]),
    }
}

fn port(place: Place, app: &App) -> Port {
    let declared = |protocol| Port::declared(protocol, app.address()).unwrap();
    match place {
        Place::Http => declared(Protocol::Http),
        Place::Tcp => declared(Protocol::Tcp),
        Place::Auto => declared(Protocol::Auto),
        Place::Undeclared => Port::undeclared(app.address()).unwrap(),
        Place::Exempt => declared(Protocol::Auto).with_mode(Mode::Permissive),
        Place::OwnTls => {
            let mut port = declared(Protocol::Http);
            port.require_client_certificate = false;
            port
        }
        Place::Hbone => {
            let mut port = declared(Protocol::Http).with_mode(Mode::Disable);
            // Filter state of peer_metadata and connect_authority for the inner listener, set by hand here:
            // https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/network_filters/set_filter_state
            port.network_filters_first = vec![json!({
                "name": "envoy.filters.network.set_filter_state",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
                    "on_new_connection": [{
                        "object_key": "io.istio.peer_principal",
                        "factory_key": "envoy.string",
                        "format_string": {"text_format_source": {"inline_string": TUNNEL}},
                    }],
                },
            })];
            port
        }
    }
}
