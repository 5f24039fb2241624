//! From the first data of a connection, or a request, to a sighting, a verdict and its first count.

use super::Vm;
use super::peers::Visitor;
use super::sighting::{Sighting, look};
use crate::address::Endpoint;
use crate::caller::Source;
use crate::client_hello::{self, NEEDED, Opening};
use crate::connections::{Stage, Verdict};
use crate::host::Host;
use crate::peer::Peer;
use crate::property::{Property, Unreadable};
use crate::series::Part;

/// The longest text of an address, with room for a zone.
const MOST_ADDRESS: usize = 128;
/// `traffic_direction` OUTBOUND (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto>).
const OUTBOUND: u64 = 2;

impl<H: Host> Vm<H> {
    /// The first data of a connection is there.
    pub(super) fn decide(&mut self, context: u32) {
        let Some(root) = self
            .connections
            .open(context)
            .map(|connection| connection.root)
        else {
            return;
        };
        if self.is_outbound() {
            self.connections.decided(context, Verdict::Outbound, None);
            return;
        }
        let verdict = match look(&mut self.access) {
            Sighting::MutualTls(principal) => self.mutual_tls(root, principal),
            Sighting::NoClientCert => self.caller(root, Peer::TlsNoClientCert),
            Sighting::NotTerminated => match self.opening(context) {
                Ok(Opening::TooShort) => return,
                Ok(Opening::ClientHello) => self.caller(root, Peer::TlsPassthrough),
                Ok(Opening::Other) => self.caller(root, Peer::Plaintext),
                Err(Unreadable) => Verdict::Unreadable,
            },
            Sighting::Unreadable => Verdict::Unreadable,
        };
        self.count_connection(context, verdict);
    }

    /// No more bytes will come to tell.
    pub(super) fn decide_as_plaintext(&mut self, context: u32) {
        if let Some(root) = self
            .connections
            .open(context)
            .map(|connection| connection.root)
        {
            let verdict = self.caller(root, Peer::Plaintext);
            self.count_connection(context, verdict);
        }
    }

    fn count_connection(&mut self, context: u32, verdict: Verdict) {
        let id = self.access.integer(Property::CONNECTION_ID).ok().flatten();
        if let Verdict::Peer {
            series, mutual_tls, ..
        } = verdict
        {
            self.series
                .add_to(&mut self.access, series, Part::Connections, 1);
            if !mutual_tls {
                self.series
                    .add_to(&mut self.access, series, Part::Active, 1);
                self.series.opened(series, true);
            }
        }
        // The metadata of HTTP callers comes with their requests, so where those are seen, one question will do: with
        // the first request, or else at the second read or the end.
        let ask_now = match verdict {
            Verdict::Peer { series, .. } => !self.series.has_requests(series),
            Verdict::Outbound | Verdict::Unreadable => false,
        };
        self.connections.decided(context, verdict, id);
        if ask_now {
            self.ask_claims_of_connection(context);
        }
    }

    /// A connection ended before a byte came: a failed handshake, or nobody.
    pub(super) fn ended_without_data(&mut self, context: u32) {
        let Some(root) = self
            .connections
            .open(context)
            .map(|connection| connection.root)
        else {
            return;
        };
        if self.handshake_failed() && !self.is_outbound() {
            let visitor = Visitor {
                peer: None,
                source: self.source(),
                port: self.port(),
            };
            if let Some(series) = self.series_of(root, &visitor) {
                self.series
                    .add_to(&mut self.access, series, Part::HandshakeFailures, 1);
            }
        }
    }

    /// A request on a connection that no NETWORK plugin announced: what HTTP alone can tell. What Envoy
    /// parses as HTTP is no TLS passed through.
    pub(super) fn classify_request(&mut self, root: u32) -> Verdict {
        if self.is_outbound() {
            return Verdict::Outbound;
        }
        match look(&mut self.access) {
            Sighting::MutualTls(principal) => self.mutual_tls(root, principal),
            Sighting::NoClientCert => self.caller(root, Peer::TlsNoClientCert),
            Sighting::NotTerminated => self.caller(root, Peer::Plaintext),
            Sighting::Unreadable => Verdict::Unreadable,
        }
    }

    /// Only a clear "outbound" makes the filter look away.
    fn is_outbound(&mut self) -> bool {
        self.access.integer(Property::LISTENER_DIRECTION) == Ok(Some(OUTBOUND))
    }

    /// Adds the bytes just received to those that began like a ClientHello.
    fn opening(&mut self, context: u32) -> Result<Opening, Unreadable> {
        let Some(connection) = self.connections.open(context) else {
            return Err(Unreadable);
        };
        let Stage::Waiting(first, held) = &mut connection.stage else {
            return Err(Unreadable);
        };
        let missing = NEEDED.saturating_sub(usize::from(*held));
        let access = &mut self.access;
        let read = access
            .host
            .downstream_data(u32::try_from(missing).unwrap_or(0), &mut access.bytes);
        if let Err(status) = read {
            access
                .trouble
                .refused(&mut access.host, "downstream data", status);
            return Err(Unreadable);
        }
        for &byte in access.bytes.iter().take(missing) {
            if let Some(place) = first.get_mut(usize::from(*held)) {
                *place = byte;
                *held = held.saturating_add(1);
            }
        }
        Ok(client_hello::opening(
            first.get(..usize::from(*held)).unwrap_or_default(),
        ))
    }

    pub(super) fn source(&mut self) -> Source {
        match self.access.text(Property::SOURCE_ADDRESS, MOST_ADDRESS) {
            Ok(Some(text)) => Source::of(Endpoint::parse(text.as_bytes())),
            _ => Source::Unknown,
        }
    }

    pub(super) fn port(&mut self) -> Option<u16> {
        let port = self
            .access
            .integer(Property::DESTINATION_PORT)
            .ok()
            .flatten()?;
        match u16::try_from(port) {
            // A Unix domain socket has none.
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(_) => {
                let _ = self
                    .access
                    .wrong::<()>(Property::DESTINATION_PORT, "a port");
                None
            }
        }
    }
}
