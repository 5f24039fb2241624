//! Client-side TLS, of sidecars and of other clients.

use std::sync::Arc;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::CallerProtocol;
use crate::pki::Identity;

/// The only TLS version that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// TLS of a client. It accepts any server certificate.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Its certificate, sent when the server requests one.
    pub identity: Option<Identity>,
    /// The ALPN names it offers.
    pub alpn: Vec<String>,
    /// The server name it requests, or none.
    pub sni: Option<String>,
    /// The version it offers.
    pub version: TlsVersion,
}

impl Tls {
    /// TLS of a sidecar: Istio's ALPN for the client's protocol, as istiod's ALPN filter sets it
    /// (<https://github.com/istio/istio/blob/master/pilot/pkg/xds/filters/filters.go>), and istiod's outbound SNI.
    pub fn mesh(identity: Option<&Identity>, protocol: CallerProtocol) -> Self {
        let alpn: &[&str] = match protocol {
            CallerProtocol::Http1 | CallerProtocol::WebSocket => {
                &["istio-http/1.1", "istio", "http/1.1"]
            }
            CallerProtocol::Http2 | CallerProtocol::Grpc => &["istio-h2", "istio", "h2"],
            CallerProtocol::Bytes => &["istio-peer-exchange", "istio"],
        };
        Self {
            identity: identity.cloned(),
            alpn: alpn.iter().map(ToString::to_string).collect(),
            sni: Some("outbound_.80_._.orders.legacy.svc.cluster.local".to_owned()),
            version: TlsVersion::V1_3,
        }
    }

    /// TLS of any other client: no certificate, ordinary ALPN, a server name.
    pub fn own(version: TlsVersion) -> Self {
        Self {
            identity: None,
            alpn: vec!["http/1.1".to_owned()],
            sni: Some("orders.legacy.svc.cluster.local".to_owned()),
            version,
        }
    }

    /// The same TLS without a server name.
    pub fn without_sni(mut self) -> Self {
        self.sni = None;
        self
    }

    /// The same TLS without ALPN.
    pub fn without_alpn(mut self) -> Self {
        self.alpn.clear();
        self
    }

    /// The same TLS with a certificate.
    pub fn with_identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// The same TLS in another version.
    pub fn in_version(mut self, version: TlsVersion) -> Self {
        self.version = version;
        self
    }

    /// Performs the handshake on an open connection. In TLS 1.3 it completes before the server has verified the client's
    /// certificate, so a rejection may surface only at the first read.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn handshake(&self, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        TlsConnector::from(Arc::new(self.config()?))
            .connect(self.server_name()?, stream)
            .await
            .context("caller: TLS handshake")
    }

    /// The first flight alone, for a client that aborts the handshake.
    ///
    /// # Errors
    /// The certificate does not fit its key, or the server name is invalid.
    pub fn client_hello(&self) -> anyhow::Result<Vec<u8>> {
        let mut connection = ClientConnection::new(Arc::new(self.config()?), self.server_name()?)?;
        let mut bytes = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// The rustls configuration.
    ///
    /// # Errors
    /// The certificate does not fit its key.
    pub fn config(&self) -> anyhow::Result<ClientConfig> {
        let versions: &[&rustls::SupportedProtocolVersion] = match self.version {
            TlsVersion::V1_2 => &[&rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key())?,
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config.enable_sni = self.sni.is_some();
        Ok(config)
    }

    fn server_name(&self) -> anyhow::Result<ServerName<'static>> {
        let name = self.sni.clone().unwrap_or_else(|| "localhost".to_owned());
        ServerName::try_from(name).context("caller: invalid server name")
    }
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
