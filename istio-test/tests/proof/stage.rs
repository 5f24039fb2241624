//! The mesh with every kind of caller in front of it.

use std::collections::BTreeMap;

use plainsight_integration::callers::{Caller, Tls};
use plainsight_integration::eventually::eventually;
use plainsight_integration::exposition::Scrape;
use plainsight_integration::pki::{Authority, Identity};
use plainsight_istio_test::mesh::{LabelList, Mesh, Port, Sidecar, caller_address};
use plainsight_istio_test::repository::{manifest, root};

use crate::kinds::{Kind, Over};

/// What happened to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Served,
    Refused(String),
}

/// What the filter has said of a caller.
pub type Verdict = Option<(String, String)>;

/// The address that waits are made with; no kind has it.
const CANARY: u8 = 254;
/// How many calls in a row must go the new way before all of Envoy's workers are taken to have it.
const IN_A_ROW: u32 = 30;

pub struct Stage {
    pub mesh: Mesh,
    pub sidecar: Sidecar,
    foreign: Authority,
}

impl Stage {
    /// A mesh in which nothing is declared STRICT, and the overlay of one workload with `configuration` applied, at
    /// work on every port.
    pub async fn start(labels: LabelList, configuration: &[&str]) -> Self {
        let mut mesh = Mesh::start()
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        mesh.kubernetes
            .apply(&manifest("peer-authentication/1-mesh-permissive.yaml").unwrap())
            .unwrap();
        let sidecar = mesh
            .start_sidecar(labels)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        let overlay = mesh
            .overlay(&root().join("envoy-config/istio/overlays/workload"))
            .unwrap();
        let lines: String = configuration
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect();
        let overlay = overlay.replace("\n    labels: stock", &lines);
        mesh.kubernetes.apply(&overlay).unwrap();
        let stage = Self {
            mesh,
            sidecar,
            foreign: Authority::new("foreign").unwrap(),
        };
        stage.until_the_filter_counts_everything().await;
        stage
    }

    async fn until_the_filter_counts_everything(&self) {
        let canary = Caller::http1(&caller_address(CANARY).to_string());
        let counted = |scrape: &Scrape, metric: &str, port: Port| {
            let number = port.number().to_string();
            scrape.sum(
                metric,
                &[
                    ("source_ip", &canary.source.to_string()),
                    ("destination_port", &number),
                ],
            )
        };
        for port in Port::ALL {
            let metrics: &[&str] = match port {
                Port::Tcp => &["plainsight_connections_total"],
                _ => &["plainsight_connections_total", "plainsight_requests_total"],
            };
            eventually("the filter counts", || async {
                let before = self.mesh.scrape().await?;
                for _ in 0..IN_A_ROW {
                    self.mesh.call(&canary, port.address()).await?;
                }
                let after = self.mesh.scrape().await?;
                for metric in metrics {
                    let came = counted(&after, metric, port) - counted(&before, metric, port);
                    anyhow::ensure!(
                        came == f64::from(IN_A_ROW),
                        "{port:?}: {metric}: {came} of {IN_A_ROW}"
                    );
                }
                Ok(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.sidecar.log()));
        }
    }

    /// Applies a PeerAuthentication and waits until `port` treats plaintext as it says, in all workers.
    pub async fn declare(&self, file: &str, port: Port, takes_plaintext: bool) {
        self.mesh
            .kubernetes
            .apply(&manifest(file).unwrap())
            .unwrap();
        let canary = Caller::http1(&caller_address(CANARY).to_string());
        eventually("PeerAuthentication in force", || async {
            for _ in 0..IN_A_ROW {
                let served = self.mesh.call(&canary, port.address()).await.is_ok();
                anyhow::ensure!(
                    served == takes_plaintext,
                    "{port:?}: plaintext served: {served}"
                );
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", self.sidecar.log()));
    }

    /// Lets one caller of the kind speak.
    pub async fn ask(&self, number: u8, kind: &Kind) -> Fact {
        let mut caller = Caller::new(&caller_address(number).to_string(), kind.speaks);
        if let Over::PlainAs(agent) = kind.over {
            caller = caller.with_header("user-agent", agent);
        }
        if let Some(tls) = self.tls(number, kind) {
            caller = caller.over(tls);
        }
        match self.mesh.call(&caller, kind.port.address()).await {
            Ok(_) => Fact::Served,
            Err(error) => {
                let error = format!("{error:#}");
                // Hanging is neither of the two: no caller of this table may hang.
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
        let mesh = &self.mesh.certificates.authority;
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
            Over::OwnWithoutAlpn => {
                Tls::own(plainsight_integration::callers::TlsVersion::V1_3).without_alpn()
            }
            Over::OwnHolding(version) => Tls::own(version).with_identity(&own()),
        })
    }
}

/// The SPIFFE id of the caller with this number.
fn principal(number: u8) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/kind-{number}")
}

/// What the connections counted for the caller with this number say of it: `peer` and `strict`.
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
