//! From a sighting to a verdict, a caller, a series and its first count.

use super::sighting::{Sighting, look};
use super::{Vm, new_caller};
use crate::address::Endpoint;
use crate::caller::Source;
use crate::census::{Admission, MOST_PORTS, Roll, SERIES_PER_CALLER};
use crate::client_hello::{self, NEEDED, Opening};
use crate::connections::{Stage, Verdict};
use crate::host::{Host, Level};
use crate::metrics::Label;
use crate::peer::{Peer, Strict};
use crate::peer_header;
use crate::property::{Property, Unreadable};
use crate::roots::Root;
use crate::series::{Part, SeriesId, Subject};
use crate::trouble::push_number;

/// The longest text of an address, with room for a zone.
const MOST_ADDRESS: usize = 128;
/// `traffic_direction` OUTBOUND (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto>).
const OUTBOUND: u64 = 2;
const OVERFLOW: &str = "overflow";

/// A caller without mutual TLS, or one whose handshake failed.
struct Visitor {
    /// `None`: the handshake failed.
    peer: Option<Peer>,
    source: Source,
    port: Option<u16>,
}

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
            Sighting::MutualTls(principal) => self.mutual_tls(root, &principal),
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
        // The metadata of HTTP callers comes with their requests, so where those are seen, one question will do.
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
            Sighting::MutualTls(principal) => self.mutual_tls(root, &principal),
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

    fn source(&mut self) -> Source {
        match self.access.text(Property::SOURCE_ADDRESS, MOST_ADDRESS) {
            Ok(Some(text)) => Source::of(Endpoint::parse(text.as_bytes())),
            _ => Source::Unknown,
        }
    }

    fn port(&mut self) -> Option<u16> {
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

    fn mutual_tls(&mut self, root: u32, principal: &str) -> Verdict {
        let port = self.port();
        let header = self
            .connections
            .header(&peer_header::for_principal(principal));
        let wanted = self
            .roots
            .find(root)
            .is_some_and(|root| root.settings.principals);
        let principal = if wanted { principal } else { "" };
        let label = self.port_label(port);
        let mut overflow = label == OVERFLOW;
        let Some(mut labels) = self.mutual_tls_labels(root, principal, &label) else {
            return Verdict::Unreadable;
        };
        if !principal.is_empty() && self.series.find(&labels).is_none() {
            let limit = self
                .roots
                .find(root)
                .map_or(0, |root| root.settings.max_callers);
            let (people, rows) = (
                Roll {
                    name: "principals",
                    limit,
                    small: false,
                },
                Roll {
                    name: "principal-series",
                    limit: limit.saturating_mul(SERIES_PER_CALLER),
                    small: false,
                },
            );
            let row = [&label, " ", principal].concat();
            if self.census.admit(&mut self.access, people, principal) == Admission::Full
                || self.census.admit(&mut self.access, rows, &row) == Admission::Full
            {
                labels = self
                    .mutual_tls_labels(root, OVERFLOW, &label)
                    .unwrap_or_default();
                overflow = true;
            }
        }
        let Some(form) = self.roots.find(root).map(|root| root.settings.labels) else {
            return Verdict::Unreadable;
        };
        let series = self
            .series
            .add(&labels, form, Subject::MutualTls, "", overflow);
        Verdict::Peer {
            series,
            header,
            rejected: false,
            mutual_tls: true,
        }
    }

    fn mutual_tls_labels(&self, root: u32, principal: &str, port: &str) -> Option<String> {
        let root = self.roots.find(root)?;
        let mut labels = String::new();
        let form = root.settings.labels;
        form.push(&mut labels, Label::Peer, Peer::MutualTls.as_str());
        form.push(&mut labels, Label::Strict, Strict::Allow.as_str());
        form.push(&mut labels, Label::SourcePrincipal, principal);
        root.push_destination(&mut labels, port);
        Some(labels)
    }

    fn caller(&mut self, root: u32, peer: Peer) -> Verdict {
        let visitor = Visitor {
            peer: Some(peer),
            source: self.source(),
            port: self.port(),
        };
        let Some(series) = self.series_of(root, &visitor) else {
            return Verdict::Unreadable;
        };
        let Some(settings) = self.roots.find(root).map(|root| &root.settings) else {
            return Verdict::Unreadable;
        };
        let strict = peer.under_strict(settings.is_exempt(visitor.port));
        let mut ip = String::new();
        visitor.source.push_ip(settings, &mut ip);
        let header = self
            .connections
            .header(&peer_header::for_caller(peer, strict, &ip));
        Verdict::Peer {
            series,
            header,
            rejected: strict == Strict::Reject,
            mutual_tls: false,
        }
    }

    /// A port's label: its number, while it is one of the first that were seen on this proxy.
    fn port_label(&mut self, port: Option<u16>) -> String {
        let mut label = String::new();
        if let Some(port) = port {
            push_number(&mut label, u32::from(port));
            let ports = Roll {
                name: "ports",
                limit: MOST_PORTS,
                small: true,
            };
            if !self.ports.contains(&port) {
                match self.census.admit(&mut self.access, ports, &label) {
                    Admission::Full => return OVERFLOW.into(),
                    Admission::New | Admission::Known => self.ports.push(port),
                }
            }
        }
        label
    }

    /// The series of a caller: its own, or that of the overflow.
    fn series_of(&mut self, root: u32, visitor: &Visitor) -> Option<SeriesId> {
        let port = self.port_label(visitor.port);
        let root = self.roots.find(root)?;
        let mut ip = String::new();
        visitor.source.push_ip(&root.settings, &mut ip);
        let name = visitor.source.name(&root.settings);
        let labels = labels_of(root, visitor, &ip, name, &port);
        if let Some(series) = self.series.find(&labels) {
            return Some(series);
        }
        let limit = root.settings.max_callers;
        let callers = Roll {
            name: "callers",
            limit,
            small: false,
        };
        let rows = Roll {
            name: "series",
            limit: limit.saturating_mul(SERIES_PER_CALLER),
            small: false,
        };
        // Every label that tells series apart: exempt ports and others can share the port `overflow`.
        let exempt = root.settings.is_exempt(visitor.port);
        let row = [
            visitor.peer.map_or("handshake", Peer::as_str),
            visitor
                .peer
                .map_or("", |peer| peer.under_strict(exempt).as_str()),
            &port,
            &ip,
            name,
        ]
        .join(" ");
        let admission = self.census.admit(&mut self.access, callers, &ip);
        // Not "new among the callers": a failed handshake may have brought the address in, without a line.
        let logged = Roll {
            name: "logged",
            ..callers
        };
        if admission != Admission::Full
            && let Some(peer) = visitor.peer.filter(|_| root.settings.log_callers)
            && self.census.admit(&mut self.access, logged, &ip) == Admission::New
        {
            let line = new_caller::log_line(root, peer, visitor.port, &ip, name);
            self.access.host.log(Level::Warn, &line);
        }
        let admitted = admission != Admission::Full
            && self.census.admit(&mut self.access, rows, &row) != Admission::Full;
        let subject = if visitor.peer.is_some() {
            Subject::Caller
        } else {
            Subject::Handshakes
        };
        let form = root.settings.labels;
        if !admitted {
            let labels = labels_of(root, visitor, OVERFLOW, "", &port);
            return Some(self.series.add(&labels, form, subject, "", true));
        }
        let series = self
            .series
            .add(&labels, form, subject, &ip, port == OVERFLOW);
        if subject == Subject::Caller {
            // The evidence is there at once, not on the next tick only.
            if let Some(now) = self.now() {
                self.series
                    .record(&mut self.access, series, Part::LastSeen, now);
            }
        }
        Some(series)
    }
}

fn labels_of(root: &Root, visitor: &Visitor, ip: &str, name: &str, port: &str) -> String {
    let form = root.settings.labels;
    let mut labels = String::new();
    if let Some(peer) = visitor.peer {
        let strict = peer.under_strict(root.settings.is_exempt(visitor.port));
        form.push(&mut labels, Label::Peer, peer.as_str());
        form.push(&mut labels, Label::Strict, strict.as_str());
    }
    form.push(&mut labels, Label::SourceIp, ip);
    form.push(&mut labels, Label::SourceName, name);
    root.push_destination(&mut labels, port);
    labels
}
