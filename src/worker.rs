//! State shared by all connections and requests of a worker, and the step from a TLS status to a peer with series.

use crate::access::Access;
use crate::attribute::Attribute;
use crate::caller::{Source, SourceIp};
use crate::cardinality::{Admission, CardinalityLimit};
use crate::host::Host;
use crate::labels::{HandshakeLabels, PeerLabels, Port, Principal};
use crate::new_caller;
use crate::peer_header;
use crate::plugin::Plugin;
use crate::security::{ConnectionSecurity, Strict};
use crate::series::{PeerSeries, SeriesRegistry};
use std::rc::Rc;

/// Max bytes of an address, with room for a zone.
const MAX_ADDRESS: usize = 128;
/// Max ports with their own series. Callers can pick any undeclared port.
const MAX_PORTS: usize = 64;

/// `traffic_direction` OUTBOUND (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto>).
const OUTBOUND: u64 = 2;

/// A classified peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its series.
    pub series: Rc<PeerSeries>,
    /// The header's value.
    pub header: Rc<str>,
    /// How it connected.
    pub security: ConnectionSecurity,
    /// What STRICT would do.
    pub strict: Strict,
}

/// The shared part of a VM.
#[derive(Debug)]
pub struct Worker<H> {
    /// The host.
    pub access: Access<H>,
    /// The series.
    pub series: SeriesRegistry,
    callers: CardinalityLimit<SourceIp>,
    principals: CardinalityLimit<Rc<str>>,
    failed_handshakes: CardinalityLimit<SourceIp>,
    ports: Vec<u16>,
}

impl<H: Host> Worker<H> {
    /// A worker on a host.
    pub fn new(host: H) -> Worker<H> {
        Worker {
            access: Access::new(host),
            series: SeriesRegistry::default(),
            callers: CardinalityLimit::default(),
            principals: CardinalityLimit::default(),
            failed_handshakes: CardinalityLimit::default(),
            ports: Vec::new(),
        }
    }

    /// Whether the current listener is outbound. Checked for every connection, because one plugin context may serve
    /// listeners of both directions. Unreadable counts as inbound.
    pub fn is_outbound(&mut self) -> bool {
        self.access.integer(Attribute::LISTENER_DIRECTION) == Ok(Some(OUTBOUND))
    }

    /// A peer with mutual TLS; `principal` is empty if it has none.
    pub fn mutual_tls_peer(&mut self, plugin: &Plugin, principal: Rc<str>) -> Peer {
        let port = self.destination_port();
        let settings = plugin.settings();
        let header = peer_header::for_principal(&principal);
        let labelled = settings.principals && !principal.is_empty();
        let mut labels = PeerLabels {
            peer: ConnectionSecurity::MutualTls,
            strict: Strict::Allow,
            source_ip: None,
            source_name: None,
            source_principal: labelled.then(|| Principal::Uri(Rc::clone(&principal))),
            destination_workload: Rc::clone(&plugin.workload),
            destination_workload_namespace: Rc::clone(&plugin.namespace),
            destination_port: self.port_label(port),
        };
        let series = self.series.find(&labels).unwrap_or_else(|| {
            if labelled
                && self.principals.admit(principal, settings.max_callers) == Admission::Overflow
            {
                labels.source_principal = Some(Principal::Overflow);
            }
            self.series.find_or_add(&mut self.access, labels)
        });
        Peer {
            series,
            header,
            security: ConnectionSecurity::MutualTls,
            strict: Strict::Allow,
        }
    }

    /// A caller without mutual TLS.
    pub fn unauthenticated_caller(
        &mut self,
        plugin: &Plugin,
        security: ConnectionSecurity,
    ) -> Peer {
        let (source, port) = (self.source(), self.destination_port());
        let settings = plugin.settings();
        let strict = security.under_strict(plugin.is_exempt(port));
        let source_ip = source.label(settings);
        let mut labels = PeerLabels {
            peer: security,
            strict,
            source_ip: Some(source_ip),
            source_name: source.name(settings),
            source_principal: None,
            destination_workload: Rc::clone(&plugin.workload),
            destination_workload_namespace: Rc::clone(&plugin.namespace),
            destination_port: self.port_label(port),
        };
        let series = self.series.find(&labels).unwrap_or_else(|| {
            match self.callers.admit(source_ip, settings.max_callers) {
                Admission::NewName if settings.log_callers => new_caller::log(&labels),
                Admission::NewName | Admission::KnownName => {}
                Admission::Overflow => {
                    labels.source_ip = Some(SourceIp::Overflow);
                    labels.source_name = None;
                }
            }
            self.series.find_or_add(&mut self.access, labels)
        });
        let header = series.caller_header(|| peer_header::for_caller(security, strict, source_ip));
        Peer {
            series,
            header,
            security,
            strict,
        }
    }

    /// Counts a failed handshake.
    pub fn count_handshake_failure(&mut self, plugin: &Plugin) {
        let (source, port) = (self.source(), self.destination_port());
        let settings = plugin.settings();
        let source_ip = source.label(settings);
        let mut labels = HandshakeLabels {
            source_ip: Some(source_ip),
            source_name: source.name(settings),
            destination_workload: Rc::clone(&plugin.workload),
            destination_workload_namespace: Rc::clone(&plugin.namespace),
            destination_port: self.port_label(port),
        };
        if !self.series.has_handshake_failures(&labels)
            && self
                .failed_handshakes
                .admit(source_ip, settings.max_callers)
                == Admission::Overflow
        {
            labels.source_ip = Some(SourceIp::Overflow);
            labels.source_name = None;
        }
        self.series
            .count_handshake_failure(&mut self.access, &labels);
    }

    fn source(&mut self) -> Source {
        match self.access.text(Attribute::SOURCE_ADDRESS, MAX_ADDRESS) {
            Ok(Some(address)) => Source::parse(address),
            _ => Source::Unknown,
        }
    }

    /// The target port. `None` for a Unix domain socket and for an unreadable port.
    fn destination_port(&mut self) -> Option<u16> {
        let port = self.access.integer(Attribute::DESTINATION_PORT).ok()??;
        match u16::try_from(port) {
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(_) => {
                let problem = format_args!("not a port: {port}");
                self.access
                    .record_error(Attribute::DESTINATION_PORT, problem);
                None
            }
        }
    }

    fn port_label(&mut self, port: Option<u16>) -> Option<Port> {
        let port = port?;
        if !self.ports.contains(&port) {
            if self.ports.len() >= MAX_PORTS {
                return Some(Port::Overflow);
            }
            self.ports.push(port);
        }
        Some(Port::Number(port))
    }
}
