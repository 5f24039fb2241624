//! A mesh's certificates for one run: an authority, a server, and a client with a SPIFFE identity.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The client's identity.
pub const PRINCIPAL: &str = "spiffe://cluster.local/ns/bench/sa/client";

/// The name that clients expect in the server's certificate.
pub const SERVER_NAME: &str = "bench.example";

/// Certificates as PEM for Envoy, and the client's TLS configuration.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: String,
    /// The server's certificate.
    pub server_certificate: String,
    /// The server's private key.
    pub server_key: String,
    /// A client that presents [`PRINCIPAL`] and resumes no session, so that every handshake is a full one.
    pub client: Arc<ClientConfig>,
}

impl Certificates {
    /// New keys and certificates, P-256 as Istio's agent makes them with `ECC_SIGNATURE_ALGORITHM=ECDSA`.
    ///
    /// # Errors
    /// The random source or the cryptography fails.
    pub fn generate() -> Result<Self> {
        let mut authority = CertificateParams::default();
        // A name of its own: a leaf with its issuer's name counts as self-signed.
        authority
            .distinguished_name
            .push(DnType::CommonName, "bench authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let server_key = KeyPair::generate()?;
        let server =
            CertificateParams::new([SERVER_NAME.to_owned()])?.signed_by(&server_key, &authority)?;

        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::default();
        client.subject_alt_names = vec![SanType::URI(PRINCIPAL.try_into()?)];
        let client = client.signed_by(&client_key, &authority)?;

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![client.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client_key.serialize_der())),
            )?;
        config.resumption = Resumption::disabled();

        Ok(Self {
            authority: authority.pem(),
            server_certificate: server.pem(),
            server_key: server_key.serialize_pem(),
            client: Arc::new(config),
        })
    }
}
