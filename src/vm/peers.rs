//! From a peer to its series and header: known from before, or worked out from settings and labels.

use super::{Vm, new_caller};
use crate::caller::Source;
use crate::census::{Admission, MOST_PORTS, Roll, SERIES_PER_CALLER};
use crate::connections::Verdict;
use crate::host::{Host, Level};
use crate::known::{Acquaintance, Key};
use crate::metrics::Label;
use crate::peer::{Peer, Strict};
use crate::peer_header;
use crate::roots::Root;
use crate::series::{Part, SeriesId, Subject};
use crate::trouble::push_number;

const OVERFLOW: &str = "overflow";

/// A caller without mutual TLS, or one whose handshake failed.
pub(super) struct Visitor {
    /// `None`: the handshake failed.
    pub(super) peer: Option<Peer>,
    /// Who it is.
    pub(super) source: Source,
    /// The port it came to.
    pub(super) port: Option<u16>,
}

impl<H: Host> Vm<H> {
    /// A peer with mutual TLS.
    pub(super) fn mutual_tls(&mut self, root: u32, principal: String) -> Verdict {
        let port = self.port();
        let key = Key::MutualTls {
            root,
            principal,
            port,
        };
        if let Some(verdict) = self.met_before(&key, true) {
            return verdict;
        }
        let principal = match &key {
            Key::MutualTls { principal, .. } => principal,
            Key::Caller { .. } => "",
        };
        let verdict = self.new_mutual_tls(root, principal, port);
        self.meet(key, &verdict);
        verdict
    }

    /// A verdict on a peer that was met before.
    fn met_before(&mut self, key: &Key, mutual_tls: bool) -> Option<Verdict> {
        let known = self.known.find(key)?;
        Some(Verdict::Peer {
            series: known.series,
            header: self.connections.header(&known.header),
            rejected: known.rejected,
            mutual_tls,
        })
    }

    /// Keeps a verdict, unless it is the overflow's: those are anybody's.
    fn meet(&mut self, key: Key, verdict: &Verdict) {
        if let Verdict::Peer {
            series,
            header,
            rejected,
            ..
        } = verdict
            && self
                .series
                .get(*series)
                .is_some_and(|series| !series.is_overflow())
        {
            let peer = Acquaintance {
                series: *series,
                header: (**header).into(),
                rejected: *rejected,
            };
            self.known.meet(key, peer);
        }
    }

    fn new_mutual_tls(&mut self, root: u32, principal: &str, port: Option<u16>) -> Verdict {
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

    /// A peer without it.
    pub(super) fn caller(&mut self, root: u32, peer: Peer) -> Verdict {
        let (source, port) = (self.source(), self.port());
        let key = Key::Caller {
            root,
            peer,
            source,
            port,
        };
        if let Some(verdict) = self.met_before(&key, false) {
            return verdict;
        }
        let verdict = self.new_caller(root, peer, source, port);
        self.meet(key, &verdict);
        verdict
    }

    fn new_caller(&mut self, root: u32, peer: Peer, source: Source, port: Option<u16>) -> Verdict {
        let visitor = Visitor {
            peer: Some(peer),
            source,
            port,
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
    pub(super) fn series_of(&mut self, root: u32, visitor: &Visitor) -> Option<SeriesId> {
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
