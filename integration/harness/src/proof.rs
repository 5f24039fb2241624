//! The proof: every kind of caller, its verdict, and its actual outcome under STRICT.
//!
//! Two tests run it: against the shapes of this crate (`plainsight-claims`), and against the listeners that istiod
//! itself generates (`plainsight-cluster`).

mod kinds;
mod table;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;

use crate::callers::{Caller, Tls, TlsVersion};
use crate::exposition::Scrape;
use crate::pki::Authority;

pub use kinds::{Counted, Does, Kind, Over, Place, Stage, kinds};
pub use table::{Row, check, markdown};

/// Every classified connection.
pub const CONNECTIONS: &str = "plainsight_connections_total";

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It was answered.
    Served,
    /// It was not answered; the error.
    Refused(String),
    /// It sent no request.
    NotAsked,
}

/// `peer` and `strict` of a caller; none if no caller was reported.
pub type Verdict = Option<(String, String)>;

/// The SPIFFE id of the caller with this number.
pub fn principal(number: u8) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/kind-{number}")
}

impl Kind {
    /// A caller of this kind at `source`, with the identity [`principal`] where it has one.
    ///
    /// # Errors
    /// Signing a certificate failed.
    pub fn caller(
        &self,
        source: IpAddr,
        number: u8,
        mesh: &Authority,
        foreign: &Authority,
    ) -> anyhow::Result<Caller> {
        let mut caller = Caller::new(&source.to_string(), self.protocol);
        if let Does::CallAs(agent) = self.does {
            caller = caller.with_header("user-agent", agent);
        }
        let own = principal(number);
        let in_mesh = |identity| Tls::mesh(Some(identity), self.protocol);
        let tls = match self.over {
            Over::Plain => return Ok(caller),
            Over::Mesh(version) => in_mesh(&mesh.spiffe(&own)?).in_version(version),
            Over::MeshWithoutUri => in_mesh(&mesh.without_uri()?),
            Over::MeshOtherDomain => {
                in_mesh(&mesh.spiffe("spiffe://other.example/ns/shop/sa/web")?)
            }
            Over::MeshForeign(version) => in_mesh(&foreign.spiffe(&own)?).in_version(version),
            Over::MeshWithoutCertificate(version) => {
                Tls::mesh(None, self.protocol).in_version(version)
            }
            Over::Own(version) => Tls::own(version),
            Over::OwnWithoutSni(version) => Tls::own(version).without_sni(),
            Over::OwnWithoutAlpn => Tls::own(TlsVersion::V1_3).without_alpn(),
            Over::OwnHoldingMeshCertificate(version) => {
                Tls::own(version).with_identity(&mesh.spiffe(&own)?)
            }
        };
        Ok(caller.over(tls))
    }

    /// Performs this kind of call once.
    ///
    /// # Errors
    /// The call hung, which no kind may do.
    pub async fn call(&self, caller: &Caller, to: SocketAddr) -> anyhow::Result<Fact> {
        let outcome = match self.does {
            Does::ConnectAndClose => {
                caller.connect_and_close(to).await?;
                return Ok(Fact::NotAsked);
            }
            Does::Multiplex(requests) => caller.call_at_once(to, requests).await,
            _ => caller.call(to).await.map(drop),
        };
        Ok(match outcome {
            Ok(()) => Fact::Served,
            Err(error) => {
                let error = format!("{error:#}");
                ensure!(!error.contains("still not done"), "{self}: {error}");
                Fact::Refused(error)
            }
        })
    }
}

/// The filter's verdict on a caller, from the connections counted with its address or its principal.
///
/// # Errors
/// More than one verdict.
pub fn verdict(
    scrape: &Scrape,
    port: &str,
    source: IpAddr,
    principal: Option<&str>,
) -> anyhow::Result<Verdict> {
    let source = source.to_string();
    let at_port = [("destination_port", port)];
    let verdicts: BTreeSet<_> = scrape
        .matching(CONNECTIONS, &at_port)
        .filter(|sample| match sample.label("source_ip") {
            Some(address) => address == source,
            None => sample.label("source_principal") == principal,
        })
        .map(|sample| ["peer", "strict"].map(|key| sample.label(key).unwrap_or_default()))
        .collect();
    ensure!(verdicts.len() <= 1, "{source}: {verdicts:?}");
    let verdict = verdicts.into_iter().next();
    Ok(verdict.map(|[peer, strict]| (peer.to_owned(), strict.to_owned())))
}
