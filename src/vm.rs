//! The filter as Envoy drives it: one VM per worker, callbacks in, metrics and headers out.
//!
//! Callbacks only wire the parts together; every decision is made in the module named after it. No callback
//! pauses, buffers or fails.

mod claims;
mod mark;
mod new_caller;
mod peers;
mod plugin;
mod sighting;
mod visitor;

#[cfg(test)]
mod tests;

use crate::census::Census;
use crate::connections::{
    Awaiting, Claims, Connections, Mark, Newborn, Registered, Stage, Verdict,
};
use crate::host::{Headers, Host, MetricId};
use crate::known::Known;
use crate::peer_header;
use crate::property::{Access, Property};
use crate::roots::Roots;
use crate::series::{Part, SeriesBook, SeriesId};
use crate::traffic::Traffic;
use mark::Marking;

/// Everything that one VM knows.
#[derive(Debug)]
pub struct Vm<H> {
    access: Access<H>,
    roots: Roots,
    newborn: Newborn,
    connections: Connections,
    marking: Marking,
    known: Known,
    awaiting: Awaiting,
    series: SeriesBook,
    census: Census,
    config_errors: Option<MetricId>,
    /// Ports with series of their own.
    ports: Vec<u16>,
}

/// What is known of a request's connection.
struct Recalled {
    verdict: Verdict,
    /// The NETWORK plugin saw the connection.
    announced: bool,
    /// No request on it came before.
    first: bool,
}

impl Recalled {
    fn new(registered: &mut Registered, announced: bool) -> Recalled {
        Recalled {
            verdict: registered.verdict.clone(),
            announced,
            first: std::mem::replace(&mut registered.claims, Claims::OfRequest)
                != Claims::OfRequest,
        }
    }
}

impl<H: Host> Vm<H> {
    /// A VM on a host.
    pub fn new(host: H) -> Vm<H> {
        Vm {
            access: Access::new(host),
            roots: Roots::default(),
            newborn: Newborn::default(),
            connections: Connections::default(),
            marking: Marking::default(),
            known: Known::default(),
            awaiting: Awaiting::default(),
            series: SeriesBook::default(),
            census: Census::default(),
            config_errors: None,
            ports: Vec::new(),
        }
    }

    /// A context was created: a root (parent 0), or one whose role its first callback tells.
    pub fn on_context_create(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            self.roots.create(context);
        } else {
            self.newborn.born(context, parent);
        }
    }

    /// A connection was accepted. Nothing is read here: the TLS handshake is still to come, so every mutual
    /// TLS peer would look like plaintext, and from Envoy 1.33 on the early read spoils the certificate
    /// for RBAC (<https://github.com/envoyproxy/envoy/issues/40179>).
    pub fn on_new_connection(&mut self, context: u32) {
        if let Some(root) = self.newborn.take(context) {
            self.connections.opened(context, root);
        }
    }

    /// Data came from the caller: the first of it decides.
    pub fn on_downstream_data(&mut self, context: u32, size: u32) {
        if size == 0 {
            return;
        }
        let Some(connection) = self.connections.heard(context) else {
            return;
        };
        match (&connection.stage, &connection.mark) {
            (Stage::Waiting(..), _) => self.decide(context),
            (Stage::Decided(..), Mark::Wanted) => self.mark(context),
            // A second read without a request: it is no HTTP.
            (Stage::Decided(registered, _), Mark::None) if registered.claims == Claims::Unasked => {
                self.ask_claims_of_connection(context);
            }
            (Stage::Decided(..), Mark::None | Mark::Set(_)) => {}
        }
    }

    /// The caller's connection ended.
    pub fn on_downstream_connection_close(&mut self, context: u32) {
        let Some(connection) = self.connections.open(context) else {
            return;
        };
        match connection.stage {
            Stage::Waiting(_, 0) => self.ended_without_data(context),
            // A few bytes that began like a ClientHello and went no further: no TLS.
            Stage::Waiting(..) => {
                self.decide_as_plaintext(context);
                self.ask_claims_of_connection(context);
            }
            Stage::Decided(..) => self.ask_claims_of_connection(context),
        }
        let Some(connection) = self.connections.closed(context) else {
            return;
        };
        if let Stage::Decided(registered, _) = connection.stage
            && let Verdict::Peer {
                series,
                header,
                mutual_tls,
                ..
            } = registered.verdict
        {
            if mutual_tls {
                self.series.settle(&mut self.access, series);
            } else {
                self.series.opened(series, false);
                self.series
                    .add_to(&mut self.access, series, Part::Active, -1);
            }
            self.connections.release(&header);
        }
    }

    /// A request: counted at its start, so that long streams are seen at once, and its header set.
    pub fn on_request_headers(&mut self, context: u32) {
        let Some(root) = self.newborn.take(context) else {
            return;
        };
        let Some(recalled) = self.recall(root) else {
            self.set_request_header(root, None);
            return;
        };
        match recalled.verdict {
            Verdict::Outbound => {}
            Verdict::Unreadable => self.set_request_header(root, None),
            Verdict::Peer {
                series,
                header,
                rejected,
                mutual_tls,
            } => {
                if mutual_tls && recalled.announced {
                    self.series.owe_request(series);
                } else {
                    self.count_request(series, mutual_tls);
                }
                if recalled.first && !mutual_tls {
                    self.ask_claims(root, series);
                }
                self.set_request_header(root, Some(&header));
                if rejected
                    && self
                        .roots
                        .find(root)
                        .is_some_and(|root| root.settings.response_header.is_some())
                {
                    self.awaiting.expect(context, root, header);
                }
            }
        }
    }

    /// What is known of the connection that a request came on. `None`: nothing, and that was counted.
    fn recall(&mut self, root: u32) -> Option<Recalled> {
        let mut missed = None;
        if let Some((context, connection)) = self.connections.latest()
            && let (Stage::Decided(registered, _), Mark::Set(mark)) =
                (&mut connection.stage, &connection.mark)
        {
            if self.access.is_marked(mark) {
                return Some(Recalled::new(registered, true));
            }
            missed = Some(context);
        }
        // With pipelining, the connection whose data came last is not always the one whose request is parsed.
        let id = match self.access.integer(Property::CONNECTION_ID) {
            Ok(Some(id)) => Some(id),
            Ok(None) => {
                let _ = self.access.wrong::<()>(Property::CONNECTION_ID, "there");
                None
            }
            Err(_) => None,
        };
        if let Some(id) = id
            && self.connections.find(id).is_none()
        {
            let verdict = self.classify_request(root);
            self.connections.remember(id, verdict);
        }
        let id = id?;
        if missed.is_some() && missed == self.connections.announced(id) {
            self.marks_are_lost();
        }
        let (registered, announced) = self.connections.find(id)?;
        Some(Recalled::new(registered, announced))
    }

    fn count_request(&mut self, series: SeriesId, mutual_tls: bool) {
        if mutual_tls {
            self.series
                .add_to(&mut self.access, series, Part::MutualTlsRequests, 1);
            return;
        }
        let agent = self
            .access
            .host
            .header(Headers::Request, "user-agent", &mut self.access.bytes);
        let traffic = match agent {
            Ok(()) => Traffic::of(&self.access.bytes),
            Err(status) => {
                if !status.is_absence() {
                    self.access
                        .trouble
                        .refused(&mut self.access.host, "user-agent", status);
                }
                Traffic::App
            }
        };
        self.series
            .add_to(&mut self.access, series, Part::Requests(traffic), 1);
        self.series.seen(series);
    }

    /// Replaces the header, so that a client's own copy never reaches the application.
    fn set_request_header(&mut self, root: u32, value: Option<&str>) {
        let Some(name) = self
            .roots
            .find(root)
            .and_then(|root| root.settings.request_header.as_deref())
        else {
            return;
        };
        let value = value.map_or(peer_header::UNKNOWN, str::as_bytes);
        let outcome = self
            .access
            .host
            .replace_header(Headers::Request, name, value);
        self.access.granted("set the request header", outcome);
    }

    /// A response to a caller that STRICT would turn away: it is told, where that was asked for.
    pub fn on_response_headers(&mut self, context: u32) {
        let Some((root, item)) = self.awaiting.take(context) else {
            return;
        };
        let Some(settings) = self.roots.find(root).map(|root| &root.settings) else {
            return;
        };
        let access = &mut self.access;
        if let Some(name) = &settings.response_header {
            let outcome = access
                .host
                .replace_header(Headers::Response, name, item.as_bytes());
            access.granted("set the response header", outcome);
        }
        let deprecation = &settings.deprecation;
        for (name, value) in [
            ("deprecation", &deprecation.since),
            ("sunset", &deprecation.sunset),
        ] {
            // The application's own word on its own interface stands.
            if let Some(value) = value
                && access
                    .host
                    .header(Headers::Response, name, &mut access.bytes)
                    .is_err()
            {
                let outcome = access
                    .host
                    .add_header(Headers::Response, name, value.as_bytes());
                access.granted("set a deprecation header", outcome);
            }
        }
        if let Some(link) = &deprecation.link {
            let outcome = access
                .host
                .add_header(Headers::Response, "link", link.as_bytes());
            access.granted("set a deprecation header", outcome);
        }
    }
}
