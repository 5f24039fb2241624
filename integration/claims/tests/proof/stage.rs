//! The server's sidecar with all ports, the client's sidecars, and how a kind of caller calls them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use plainsight_harness::app::App;
use plainsight_harness::callers::{Caller, CallerProtocol};
use plainsight_harness::envoy::Envoy;
use plainsight_harness::exposition::Scrape;
use plainsight_harness::pki::{Authority, Mesh};
use plainsight_harness::proof::{
    self, Does, Fact, Kind, Over, Place, Verdict, kinds, principal, verdict,
};
use plainsight_harness::shapes::{ClientSidecar, Mode, Port, Protocol, Sidecar};
use serde_json::json;

pub struct Stage {
    /// Each kind has its own address and identity, so each has its own series.
    pub kinds: Vec<Kind>,
    envoy: Envoy,
    sidecar: Sidecar,
    ports: Vec<Port>,
    foreign: Authority,
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
        let kinds = kinds(proof::Stage::Shapes);
        let envoy = Envoy::start(&sidecar).await.unwrap();
        let envoy_version = envoy.version().await.unwrap();
        let mut clients = BTreeMap::new();
        for (index, kind) in kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.does == Does::ThroughSidecar)
        {
            let to = ports[kind.place as usize].address();
            let mut client =
                ClientSidecar::new(sidecar.mesh.clone(), source(index, kind), to).unwrap();
            if kind.protocol == CallerProtocol::Bytes {
                client = client.carrying_bytes();
            }
            let running = Envoy::start(&client).await.unwrap();
            clients.insert(index, (client, running));
        }
        let foreign = Authority::new("foreign").unwrap();
        Self {
            kinds,
            envoy,
            sidecar,
            ports,
            foreign,
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

    /// Makes one call of each kind.
    pub async fn call_all(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (index, kind) in self.kinds.iter().enumerate() {
            let source = source(index, kind);
            let (caller, to) = if let Some((client, _)) = self.clients.get(&index) {
                (Caller::new("127.0.0.1", kind.protocol), client.address())
            } else {
                let mesh = &self.sidecar.mesh.authority;
                let caller = kind.caller(source, number(index), mesh, &self.foreign);
                (caller.unwrap(), self.port(kind.place).address_for(source))
            };
            facts.push(kind.call(&caller, to).await.unwrap());
        }
        facts
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

    /// The filter's verdict on a kind.
    pub fn verdict(&self, scrape: &Scrape, index: usize) -> Verdict {
        let kind = &self.kinds[index];
        let principal = self.principal(index, kind);
        let port = self.port(kind.place).label();
        verdict(scrape, &port, source(index, kind), principal.as_deref()).unwrap()
    }

    /// The label `source_principal` of a kind, if it uses mutual TLS.
    pub fn principal(&self, index: usize, kind: &Kind) -> Option<String> {
        match (kind.does, kind.place, kind.over) {
            (Does::ThroughSidecar, _, _) => Some(Mesh::CLIENT.to_owned()),
            (_, Place::Hbone, _) => Some(TUNNEL.to_owned()),
            (_, _, Over::MeshWithoutUri) => None,
            _ => Some(principal(number(index))),
        }
    }

    /// The version of Envoy, such as `1.40.0`.
    pub fn envoy_version(&self) -> &str {
        &self.envoy_version
    }

    /// Envoy 1.36 no longer has the reason for a failed handshake when the connection closes, so the failure looks like a
    /// client that disconnected; 1.37 and later have it.
    pub fn has_failure_reasons(&self) -> bool {
        !self.envoy_version.starts_with("1.36.")
    }
}

const TUNNEL: &str = "spiffe://cluster.local/ns/shop/sa/tunnel";

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

/// Each kind has its own source address.
pub fn source(index: usize, kind: &Kind) -> IpAddr {
    match kind.does {
        Does::CallOverIpv6 => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]),
        _ => IpAddr::from([127, 0, 1, number(index)]),
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
