//! Certificates of a mesh, and of foreign authorities.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both as PEM and ready for rustls.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: String,
    certificate_der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// Key generation failed.
    pub fn new(common_name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its private key, PKCS#8 PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A workload certificate whose only subject alternative name is the URI `spiffe`.
    ///
    /// # Errors
    /// The URI is not IA5 text, or signing failed.
    pub fn spiffe(&self, spiffe: &str) -> anyhow::Result<Identity> {
        let uri = spiffe
            .try_into()
            .with_context(|| format!("pki: not an IA5 string: {spiffe}"))?;
        self.sign(vec![SanType::URI(uri)])
    }

    /// A certificate for `localhost` and the loopback addresses, without any URI name.
    ///
    /// # Errors
    /// Signing failed.
    pub fn without_uri(&self) -> anyhow::Result<Identity> {
        self.sign(vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ])
    }

    fn sign(&self, names: Vec<SanType>) -> anyhow::Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        })
    }
}

impl Identity {
    /// The certificate chain for rustls.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(self.certificate_der.clone())]
    }

    /// The private key for rustls.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }
}

/// The certificates of one mesh: its authority, the server's identity and a client's.
pub struct Mesh {
    /// The authority that every sidecar trusts.
    pub authority: Authority,
    /// The identity of the sidecar under test.
    pub server: Identity,
    /// The identity of a caller with a sidecar: [`Mesh::CLIENT`].
    pub client: Identity,
}

impl Mesh {
    /// The SPIFFE id of [`Mesh::client`].
    pub const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/web";
    /// The SPIFFE id of [`Mesh::server`].
    pub const SERVER: &str = "spiffe://cluster.local/ns/legacy/sa/orders";

    /// Makes a mesh with fresh keys.
    ///
    /// # Errors
    /// Key generation or signing failed.
    pub fn new() -> anyhow::Result<Self> {
        let authority = Authority::new("mesh")?;
        let server = authority.spiffe(Self::SERVER)?;
        let client = authority.spiffe(Self::CLIENT)?;
        Ok(Self {
            authority,
            server,
            client,
        })
    }
}
