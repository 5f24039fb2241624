//! A request seen by the HTTP plugin: counts it and sets its header.

use crate::access::Unreadable;
use crate::connection::{Classification, Connection};
use crate::host::Host;
use crate::peer_header::UNKNOWN;
use crate::plugin::Plugin;
use crate::security::{ConnectionSecurity, Strict};
use crate::tls_status::TlsStatus;
use crate::traffic::Traffic;
use crate::worker::{Peer, Worker};
use std::rc::Rc;

/// A request whose response gets headers.
#[derive(Debug)]
pub struct Request {
    plugin: Rc<Plugin>,
    header: Rc<str>,
}

impl Request {
    /// Counts the request at its start, so that a long stream shows up immediately, and sets the header to the
    /// application. `connection` is `None` if the NETWORK plugin did not classify it. Returns the response's state.
    pub fn on_headers<H: Host>(
        worker: &mut Worker<H>,
        plugin: Rc<Plugin>,
        connection: Option<&mut Connection>,
    ) -> Option<Request> {
        let peer = match connection {
            Some(connection) => count_on_connection(worker, connection),
            None => count_alone(worker, &plugin),
        };
        let peer = match peer {
            Classification::Outbound => return None,
            Classification::Unreadable => None,
            Classification::Peer(peer) => Some(peer),
        };
        let settings = plugin.settings();
        if let Some(name) = &settings.request_header {
            // Replaced on unclassified connections too, so that the client's own copy never gets through.
            let value = peer.as_ref().map_or(UNKNOWN, |peer| &peer.header);
            worker.access.set_request_header(name, value);
        }
        let wanted = settings.response_header.is_some() || !settings.response_headers.is_empty();
        peer.filter(|peer| wanted && peer.strict == Strict::Reject)
            .map(|peer| Request {
                plugin,
                header: peer.header,
            })
    }

    /// Adds the headers to the response for a caller that STRICT would reject.
    pub fn on_response_headers<H: Host>(self, worker: &mut Worker<H>) {
        let settings = self.plugin.settings();
        if let Some(name) = &settings.response_header {
            worker.access.add_response_header(name, &self.header);
        }
        for (name, value) in &settings.response_headers {
            worker.access.add_response_header(name, value);
        }
    }
}

fn count_on_connection<H: Host>(
    worker: &mut Worker<H>,
    connection: &mut Connection,
) -> Classification {
    let classification = connection.classification().cloned();
    let Some(classification) = classification else {
        return Classification::Unreadable;
    };
    if let Classification::Peer(peer) = &classification {
        if peer.security == ConnectionSecurity::MutualTls {
            peer.series.defer_request();
        } else {
            let traffic = connection.traffic(worker);
            worker
                .series
                .count_request(&mut worker.access, &peer.series, Some(traffic));
        }
    }
    classification
}

/// Classifies and counts a request without its connection. HTTP that Envoy parsed cannot be passed-through TLS.
fn count_alone<H: Host>(worker: &mut Worker<H>, plugin: &Plugin) -> Classification {
    if worker.is_outbound() {
        return Classification::Outbound;
    }
    let security = match TlsStatus::read(&mut worker.access) {
        Err(Unreadable) => return Classification::Unreadable,
        Ok(TlsStatus::MutualTls(principal)) => {
            let peer = worker.mutual_tls_peer(plugin, principal);
            worker
                .series
                .count_request(&mut worker.access, &peer.series, None);
            return Classification::Peer(peer);
        }
        Ok(TlsStatus::NoClientCert) => ConnectionSecurity::TlsNoClientCert,
        Ok(TlsStatus::NotTerminated) => ConnectionSecurity::Plaintext,
    };
    let peer: Peer = worker.unauthenticated_caller(plugin, security);
    worker.access.user_agent();
    let traffic = Traffic::of(&worker.access.bytes);
    worker
        .series
        .count_request(&mut worker.access, &peer.series, Some(traffic));
    Classification::Peer(peer)
}
