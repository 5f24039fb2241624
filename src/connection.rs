//! A connection seen by the NETWORK plugin: classified once, on the first data, and kept until it closes.

use crate::access::Unreadable;
use crate::attribute::Attribute;
use crate::client_hello::{NEEDED, Opening, opening};
use crate::connection_link::{self, ConnectionLink};
use crate::host::Host;
use crate::plugin::Plugin;
use crate::security::ConnectionSecurity;
use crate::tls_status::{TlsStatus, hbone_principal};
use crate::traffic::Traffic;
use crate::worker::{Peer, Worker};
use std::rc::Rc;

/// Part of BoringSSL's errors about a certificate: none sent, unknown authority, expired (measured on 1.37 to
/// 1.40; <https://github.com/google/boringssl/blob/main/crypto/err/ssl.errordata>).
const CERTIFICATE: &[u8] = b"CERTIFICATE";

/// Which side closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Envoy itself.
    Local,
    /// The client, or unknown.
    Remote,
}

/// The result of classifying a connection.
#[derive(Clone, Debug)]
pub enum Classification {
    /// On an outbound listener: not counted.
    Outbound,
    /// The TLS status could not be read: neither plaintext nor mutual TLS. Counted as an error.
    Unreadable,
    /// A classified peer.
    Peer(Peer),
}

/// The first bytes of a connection, while they may be the start of a ClientHello.
#[derive(Debug, Default)]
struct FirstBytes {
    bytes: [u8; NEEDED],
    len: usize,
}

#[derive(Debug)]
enum State {
    Pending(FirstBytes),
    Classified(Classification),
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    context: u32,
    plugin: Rc<Plugin>,
    state: State,
    /// The traffic of its requests: `None` before the first; never changes from `App`.
    traffic: Option<Traffic>,
    /// How requests find this connection.
    pub link: ConnectionLink,
}

impl Connection {
    /// An accepted connection. Nothing is read yet: before the TLS handshake every mutual TLS peer looks like
    /// plaintext, and from Envoy 1.33 the early read breaks RBAC
    /// (<https://github.com/envoyproxy/envoy/issues/40179>).
    pub fn new(context: u32, plugin: Rc<Plugin>) -> Connection {
        Connection {
            context,
            plugin,
            state: State::Pending(FirstBytes::default()),
            traffic: None,
            link: ConnectionLink::default(),
        }
    }

    /// Its classification; `None` until enough data arrived.
    pub fn classification(&self) -> Option<&Classification> {
        match &self.state {
            State::Pending(_) => None,
            State::Classified(classification) => Some(classification),
        }
    }

    /// Data from the caller.
    pub fn on_data<H: Host>(&mut self, worker: &mut Worker<H>, vm: Option<u64>) {
        if let State::Classified(_) = self.state {
            self.link.update(&mut worker.access, vm, self.context);
        } else if let Some(classification) = self.classify(worker) {
            self.count(worker, &classification);
            if !matches!(classification, Classification::Outbound) {
                connection_link::set(&mut worker.access, vm, self.context);
            }
            self.state = State::Classified(classification);
        }
    }

    /// The connection closed.
    pub fn on_close<H: Host>(self, worker: &mut Worker<H>, closed_by: ClosedBy) {
        let peer = match &self.state {
            State::Classified(Classification::Peer(peer)) => Some(peer.clone()),
            State::Classified(_) => None,
            State::Pending(first) => {
                let peer = if first.len > 0 {
                    Some(self.not_terminated_peer(worker))
                } else {
                    self.peer_without_data(worker, closed_by)
                };
                if let Some(peer) = &peer {
                    worker
                        .series
                        .count_connection(&mut worker.access, &peer.series);
                }
                peer
            }
        };
        if let Some(peer) = peer {
            peer.series.closed();
        }
    }

    /// The traffic of the current request. A connection that carried application traffic stays `App`, so that
    /// application traffic never counts as a probe, and its User-Agent is not read again.
    pub fn traffic<H: Host>(&mut self, worker: &mut Worker<H>) -> Traffic {
        if self.traffic != Some(Traffic::App) {
            worker.access.user_agent();
            self.traffic = Some(Traffic::of(&worker.access.bytes));
        }
        self.traffic.unwrap_or(Traffic::App)
    }

    /// `None` if more bytes are needed.
    fn classify<H: Host>(&mut self, worker: &mut Worker<H>) -> Option<Classification> {
        if worker.is_outbound() {
            return Some(Classification::Outbound);
        }
        let security = match TlsStatus::read(&mut worker.access) {
            Err(Unreadable) => return Some(Classification::Unreadable),
            Ok(TlsStatus::MutualTls(principal)) => {
                let peer = worker.mutual_tls_peer(&self.plugin, principal);
                return Some(Classification::Peer(peer));
            }
            Ok(TlsStatus::NoClientCert) => ConnectionSecurity::TlsNoClientCert,
            Ok(TlsStatus::NotTerminated) => match self.opening(worker) {
                Err(Unreadable) => return Some(Classification::Unreadable),
                Ok(Opening::TooShort) => return None,
                Ok(Opening::ClientHello) => ConnectionSecurity::TlsPassthrough,
                Ok(Opening::Other) => ConnectionSecurity::Plaintext,
            },
        };
        let peer = worker.unauthenticated_caller(&self.plugin, security);
        Some(Classification::Peer(peer))
    }

    fn count<H: Host>(&self, worker: &mut Worker<H>, classification: &Classification) {
        if let Classification::Peer(peer) = classification {
            worker
                .series
                .count_connection(&mut worker.access, &peer.series);
        }
    }

    /// Adds the data that just arrived to the first bytes.
    fn opening<H: Host>(&mut self, worker: &mut Worker<H>) -> Result<Opening, Unreadable> {
        let State::Pending(first) = &mut self.state else {
            return Err(Unreadable);
        };
        let missing = NEEDED.saturating_sub(first.len);
        worker.access.downstream_data(missing)?;
        let room = first.bytes.iter_mut().skip(first.len);
        for (place, byte) in room.zip(&worker.access.bytes) {
            *place = *byte;
            first.len = first.len.saturating_add(1);
        }
        Ok(opening(first.bytes.get(..first.len).unwrap_or_default()))
    }

    /// The peer of a connection that closed before any byte reached the filter, if it is a plaintext caller. Counts
    /// a failed handshake, which has no peer.
    fn peer_without_data<H: Host>(
        &self,
        worker: &mut Worker<H>,
        closed_by: ClosedBy,
    ) -> Option<Peer> {
        if worker.is_outbound() {
            return None;
        }
        let access = &mut worker.access;
        if access.read(Attribute::TLS_VERSION).ok()? && !access.bytes.is_empty() {
            // A reason alone is no proof: a reset after a complete handshake leaves one too (measured).
            let reason = access.read(Attribute::FAILURE_REASON).ok()?;
            let names_certificate = |bytes: &[u8]| {
                bytes
                    .windows(CERTIFICATE.len())
                    .any(|window| window == CERTIFICATE)
            };
            if reason && names_certificate(&access.bytes) {
                worker.count_handshake_failure(&self.plugin);
            }
            return None;
        }
        // Envoy does not read from the client until the upstream is connected, and closes the client connection
        // if that fails (measured). A client that closes without sending a byte is a port check.
        if closed_by == ClosedBy::Remote || hbone_principal(access).ok()?.is_some() {
            return None;
        }
        Some(self.not_terminated_peer(worker))
    }

    /// The caller of a connection without TLS at this proxy and with too few bytes to classify.
    fn not_terminated_peer<H: Host>(&self, worker: &mut Worker<H>) -> Peer {
        let server_name = worker.access.read(Attribute::SERVER_NAME);
        let security = if server_name == Ok(true) && !worker.access.bytes.is_empty() {
            ConnectionSecurity::TlsPassthrough
        } else {
            ConnectionSecurity::Plaintext
        };
        worker.unauthenticated_caller(&self.plugin, security)
    }
}
