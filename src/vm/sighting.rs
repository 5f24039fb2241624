//! What Envoy knows of a connection's TLS: the questions, in the order that decides.

use super::Vm;
use crate::host::Host;
use crate::property::{Access, Property};

/// A SPIFFE id has at most 2,048 bytes
/// (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md>, section 2.3).
const MOST_SPIFFE: usize = 2_048;

/// What was seen of a connection that has sent data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// A client certificate, verified: data comes only after the handshake. The SPIFFE id is empty when there is
    /// none, or when it cannot be read.
    MutualTls(String),
    /// TLS ends here, without a client certificate.
    NoClientCert,
    /// TLS does not end here, if there is any.
    NotTerminated,
    /// A question that could have been answered "mutual TLS" was not answered.
    Unreadable,
}

/// Asks in the order that decides. A question that fails does not end the asking: a later one may prove mutual
/// TLS. If none does, the connection is unreadable, never plaintext.
pub(super) fn look<H: Host>(access: &mut Access<H>) -> Sighting {
    let mut unread = false;
    match access.read(Property::URI_SAN) {
        Ok(true) if !access.bytes.is_empty() => {
            return Sighting::MutualTls(principal(access, Property::URI_SAN));
        }
        Ok(_) => {}
        Err(_) => unread = true,
    }
    match access.boolean(Property::MTLS) {
        Ok(Some(true)) => return Sighting::MutualTls(String::new()),
        Ok(_) => {}
        Err(_) => unread = true,
    }
    // HBONE: the tunnel is mutual TLS, and the connection inside it carries none
    // (<https://github.com/istio/istio/blob/master/pilot/pkg/networking/core/listener_waypoint.go>).
    match access.read(Property::HBONE_PRINCIPAL) {
        Ok(true) if !access.bytes.is_empty() => {
            return Sighting::MutualTls(principal(access, Property::HBONE_PRINCIPAL));
        }
        Ok(_) => {}
        Err(_) => unread = true,
    }
    match access.read(Property::TLS_VERSION) {
        _ if unread => Sighting::Unreadable,
        Ok(true) if !access.bytes.is_empty() => Sighting::NoClientCert,
        Ok(_) => Sighting::NotTerminated,
        Err(_) => Sighting::Unreadable,
    }
}

/// The principal just read, or nothing where it is no text: its presence alone is the proof.
fn principal<H: Host>(access: &mut Access<H>, property: Property) -> String {
    match std::str::from_utf8(&access.bytes) {
        Ok(text) if text.len() <= MOST_SPIFFE => text.into(),
        _ => {
            let _ = access.wrong::<()>(property, "a SPIFFE id");
            String::new()
        }
    }
}

impl<H: Host> Vm<H> {
    /// Whether a connection that ended without data is a failed handshake: TLS was to end here, and
    /// no valid certificate came. A certificate is shown before it is verified (measured with a foreign CA:
    /// `connection.mtls` is 1), so it counts as valid only where the transport did not fail.
    pub(super) fn handshake_failed(&mut self) -> bool {
        let access = &mut self.access;
        if access.read(Property::TLS_VERSION) != Ok(true) || access.bytes.is_empty() {
            return false;
        }
        match access.boolean(Property::MTLS) {
            Ok(Some(true)) => {
                access.read(Property::FAILURE_REASON) == Ok(true) && !access.bytes.is_empty()
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }
}
