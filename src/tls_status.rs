//! The TLS status of a connection, from Envoy's connection properties.

use crate::access::{Access, Unreadable};
use crate::attribute::Attribute;
use crate::host::Host;
use std::rc::Rc;

/// Max bytes of a SPIFFE id
/// (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>, section 2.3).
const MAX_SPIFFE_ID: usize = 2_048;

/// The TLS status of a connection that has received data, so a TLS handshake is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsStatus {
    /// Mutual TLS. The principal is empty if the certificate has no URI, or an unreadable one.
    MutualTls(Rc<str>),
    /// TLS terminated here, without a client certificate.
    NoClientCert,
    /// TLS not terminated here: plaintext, or the application's own TLS.
    NotTerminated,
}

impl TlsStatus {
    /// Reads the status.
    ///
    /// An attribute that cannot be read does not end the search, because a later one may prove mutual TLS.
    ///
    /// # Errors
    /// [`Unreadable`] if one failed and none proves mutual TLS: the connection must not count as plaintext.
    pub fn read<H: Host>(access: &mut Access<H>) -> Result<TlsStatus, Unreadable> {
        let terminated = access
            .read(Attribute::TLS_VERSION)
            .map(|present| present && !access.bytes.is_empty());
        // Without TLS there is no client certificate to read, which saves two host calls for plaintext.
        let mut certificate = Ok(());
        if terminated != Ok(false) {
            match client_certificate(access) {
                Ok(Some(principal)) => return Ok(TlsStatus::MutualTls(principal)),
                Ok(None) => {}
                Err(Unreadable) => certificate = Err(Unreadable),
            }
        }
        if let Some(principal) = hbone_principal(access)? {
            return Ok(TlsStatus::MutualTls(principal));
        }
        certificate?;
        Ok(if terminated? {
            TlsStatus::NoClientCert
        } else {
            TlsStatus::NotTerminated
        })
    }
}

/// The principal of the client certificate, empty if that has no URI. `None` without a certificate.
///
/// # Errors
/// [`Unreadable`] if the host failed and nothing proves a certificate.
fn client_certificate<H: Host>(access: &mut Access<H>) -> Result<Option<Rc<str>>, Unreadable> {
    let uri_san = access.read(Attribute::URI_SAN);
    if uri_san == Ok(true) && !access.bytes.is_empty() {
        return Ok(Some(principal(access, Attribute::URI_SAN)));
    }
    if access.boolean(Attribute::MTLS)? == Some(true) {
        return Ok(Some("".into()));
    }
    uri_san.map(|_| None)
}

/// The principal of the HBONE tunnel around the connection. The tunnel is mutual TLS; the inner connection has no
/// TLS (<https://github.com/istio/istio/blob/master/pilot/pkg/networking/core/listener_waypoint.go>).
///
/// Only a `spiffe://` value is proof: a format string without a value gives `-` (measured).
///
/// # Errors
/// [`Unreadable`] if the host failed.
pub fn hbone_principal<H: Host>(access: &mut Access<H>) -> Result<Option<Rc<str>>, Unreadable> {
    let present = access.read(Attribute::HBONE_PRINCIPAL)?;
    if present && access.bytes.starts_with(b"spiffe://") {
        return Ok(Some(principal(access, Attribute::HBONE_PRINCIPAL)));
    }
    Ok(None)
}

/// The principal just read. Its presence alone proves mutual TLS, so an undecodable one becomes empty.
fn principal<H: Host>(access: &mut Access<H>, attribute: Attribute) -> Rc<str> {
    match std::str::from_utf8(&access.bytes) {
        Ok(text) if text.len() <= MAX_SPIFFE_ID => text.into(),
        _ => {
            let _ = access.undecodable::<()>(attribute, "a SPIFFE id");
            "".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_host::FakeHost;
    use crate::host::Status;

    fn read(properties: &[(Attribute, &[u8])]) -> Result<TlsStatus, Unreadable> {
        let mut host = FakeHost::default();
        for (attribute, bytes) in properties {
            host.set(*attribute, bytes);
        }
        TlsStatus::read(&mut Access::new(host))
    }

    fn mutual_tls(principal: &str) -> Result<TlsStatus, Unreadable> {
        Ok(TlsStatus::MutualTls(principal.into()))
    }

    const VERSION: (Attribute, &[u8]) = (Attribute::TLS_VERSION, b"TLSv1.3");
    const SPIFFE: &[u8] = b"spiffe://td/ns/shop/sa/web";

    #[test]
    fn a_uri_or_a_certificate_or_a_tunnel_is_mutual_tls() {
        let expected = mutual_tls("spiffe://td/ns/shop/sa/web");
        assert_eq!(read(&[VERSION, (Attribute::URI_SAN, SPIFFE)]), expected);
        assert_eq!(read(&[(Attribute::HBONE_PRINCIPAL, SPIFFE)]), expected);
        assert_eq!(read(&[VERSION, (Attribute::MTLS, &[1])]), mutual_tls(""));
    }

    #[test]
    fn tls_without_a_certificate_and_no_tls_are_not() {
        let no_certificate = read(&[VERSION, (Attribute::MTLS, &[0])]);
        assert_eq!(no_certificate, Ok(TlsStatus::NoClientCert));
        let empty = read(&[VERSION, (Attribute::URI_SAN, b""), (Attribute::MTLS, &[0])]);
        assert_eq!(empty, Ok(TlsStatus::NoClientCert));
        assert_eq!(read(&[]), Ok(TlsStatus::NotTerminated));
        let empty = read(&[(Attribute::TLS_VERSION, b"")]);
        assert_eq!(empty, Ok(TlsStatus::NotTerminated));
    }

    #[test]
    fn an_empty_principal_or_a_dash_proves_nothing() {
        for bytes in [&b""[..], b"-", b"SPIFFE://td", b"x"] {
            let status = read(&[(Attribute::HBONE_PRINCIPAL, bytes)]);
            assert_eq!(status, Ok(TlsStatus::NotTerminated), "{bytes:?}");
        }
    }

    #[test]
    fn an_undecodable_principal_is_mutual_tls_without_a_name() {
        for bytes in [&b"\xff"[..], &[b'a'; 2_049]] {
            let status = read(&[VERSION, (Attribute::URI_SAN, bytes)]);
            assert_eq!(status, mutual_tls(""));
        }
    }

    #[test]
    fn an_unreadable_attribute_is_never_plaintext_and_later_proof_counts() {
        let attributes = [
            Attribute::TLS_VERSION,
            Attribute::URI_SAN,
            Attribute::MTLS,
            Attribute::HBONE_PRINCIPAL,
        ];
        for attribute in attributes {
            let mut host = FakeHost::default();
            host.set(Attribute::TLS_VERSION, b"TLSv1.3");
            host.fail(attribute.name, Status(2));
            let status = TlsStatus::read(&mut Access::new(host));
            assert_eq!(status, Err(Unreadable), "{}", attribute.name);
        }
        for attribute in [Attribute::URI_SAN, Attribute::TLS_VERSION] {
            let mut host = FakeHost::default();
            host.set(Attribute::TLS_VERSION, b"TLSv1.3");
            host.fail(attribute.name, Status(2));
            host.set(Attribute::MTLS, &[1]);
            host.set(Attribute::HBONE_PRINCIPAL, SPIFFE);
            let status = TlsStatus::read(&mut Access::new(host));
            assert!(matches!(status, Ok(TlsStatus::MutualTls(_))), "{status:?}");
        }
    }
}
