//! The callers, and the verdict on each.

use std::collections::BTreeMap;

use plainsight_harness::callers::{Caller, Tls, TlsVersion};
use plainsight_harness::exposition::Scrape;
use plainsight_harness::pki::{Authority, Identity};
use plainsight_istio::mesh::{Port, caller_address};
use plainsight_istio::stage::Stage;
use serde_json::Value;

use crate::kinds::{Kind, Over};

/// What happened to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Served,
    Refused(String),
}

/// The filter's verdict on a caller: `peer` and `strict`.
pub type Verdict = Option<(String, String)>;

/// The callers, in front of a stage.
pub struct Callers {
    pub stage: Stage,
    foreign: Authority,
}

impl Callers {
    pub async fn start(values: Value) -> Self {
        let stage = Stage::start(values)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        Self {
            stage,
            foreign: Authority::new("foreign").unwrap(),
        }
    }

    /// One call by a caller of the kind.
    pub async fn ask(&self, number: u8, kind: &Kind) -> Fact {
        let mut caller = Caller::new(&caller_address(number).to_string(), kind.speaks);
        if let Over::PlainAs(agent) = kind.over {
            caller = caller.with_header("user-agent", agent);
        }
        if let Some(tls) = self.tls(number, kind) {
            caller = caller.over(tls);
        }
        match self.stage.mesh.call(&caller, kind.port.address()).await {
            Ok(_) => Fact::Served,
            Err(error) => {
                let error = format!("{error:#}");
                // No caller of this table may hang.
                assert!(
                    !error.contains("still not done"),
                    "{}: {:?}: {error}",
                    kind.name,
                    kind.port
                );
                Fact::Refused(error)
            }
        }
    }

    fn tls(&self, number: u8, kind: &Kind) -> Option<Tls> {
        let sign =
            |authority: &Authority, spiffe: &str| -> Identity { authority.spiffe(spiffe).unwrap() };
        let mesh = &self.stage.mesh.certificates.authority;
        let own = || sign(mesh, &principal(number));
        let as_mesh = |identity: &Identity| Tls::mesh(Some(identity), kind.speaks);
        Some(match kind.over {
            Over::Plain | Over::PlainAs(_) => return None,
            Over::Mesh(version) => as_mesh(&own()).in_version(version),
            Over::MeshWithoutUri => as_mesh(&mesh.without_uri().unwrap()),
            Over::MeshOtherDomain => as_mesh(&sign(mesh, "spiffe://other.example/ns/shop/sa/web")),
            Over::MeshForeign => as_mesh(&sign(&self.foreign, &principal(number))),
            Over::MeshWithoutCertificate(version) => {
                Tls::mesh(None, kind.speaks).in_version(version)
            }
            Over::Own(version) => Tls::own(version),
            Over::OwnWithoutSni(version) => Tls::own(version).without_sni(),
            Over::OwnWithoutAlpn => Tls::own(TlsVersion::V1_3).without_alpn(),
            Over::OwnHolding(version) => Tls::own(version).with_identity(&own()),
        })
    }
}

/// The SPIFFE id of the caller with this number.
fn principal(number: u8) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/kind-{number}")
}

/// `peer` and `strict` of the connections counted for the caller with this number.
pub fn verdict(scrape: &Scrape, number: u8, port: Port) -> Verdict {
    let (address, principal, port) = (
        caller_address(number).to_string(),
        principal(number),
        port.number().to_string(),
    );
    let mut said: BTreeMap<(String, String), f64> = BTreeMap::new();
    for sample in scrape.matching(
        "plainsight_connections_total",
        &[("destination_port", &port)],
    ) {
        let of_caller = match sample.label("source_ip") {
            Some(ip) => ip == address,
            None => sample.label("source_principal") == Some(&principal),
        };
        if of_caller {
            let label = |key| sample.label(key).unwrap_or_default().to_owned();
            *said.entry((label("peer"), label("strict"))).or_default() += sample.value;
        }
    }
    assert!(
        said.len() <= 1,
        "caller {number}: more than one verdict: {said:?}"
    );
    said.into_keys().next()
}

/// How many failed handshakes are counted for the caller with this number.
pub fn handshake_failures(scrape: &Scrape, number: u8) -> f64 {
    scrape.sum(
        "plainsight_handshake_failures_total",
        &[("source_ip", &caller_address(number).to_string())],
    )
}
