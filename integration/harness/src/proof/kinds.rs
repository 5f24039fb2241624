//! Every kind of caller as data: its TLS, its protocol, and its counts before and after the switch to STRICT.

use std::fmt;

use crate::callers::{CallerProtocol, TlsVersion};

/// One kind of caller at one port.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name in the table.
    pub name: &'static str,
    /// The called port.
    pub place: Place,
    /// Its protocol.
    pub protocol: CallerProtocol,
    /// Its TLS.
    pub over: Over,
    /// Its action.
    pub does: Does,
    /// The count of a call while the namespace is PERMISSIVE.
    pub permissive: Counted,
    /// The count of a call under STRICT.
    pub strict: Counted,
}

/// Where the proof runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The shapes of this crate.
    Shapes,
    /// istiod's own listeners.
    Istiod,
}

/// The ports of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Declared as HTTP.
    Http,
    /// Declared as TCP.
    Tcp,
    /// Declared without a protocol.
    Auto,
    /// No Service declares it.
    Undeclared,
    /// `portLevelMtls: PERMISSIVE`, in `exempt`.
    Exempt,
    /// Terminates TLS without asking for a client certificate while PERMISSIVE.
    OwnTls,
    /// The inner listener of a tunnel: plaintext, with the tunnel's principal in filter state.
    Hbone,
}

impl Place {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Place; 7] = [Http, Tcp, Auto, Undeclared, Exempt, OwnTls, Hbone];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Http => "HTTP",
            Tcp => "TCP",
            Auto => "auto",
            Undeclared => "undeclared",
            Exempt => "exempt",
            OwnTls => "HTTP, own TLS",
            Hbone => "HTTP, inner",
        }
    }
}

/// The TLS of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// None.
    Plain,
    /// Istio's ALPN, a SPIFFE certificate of the caller's own.
    Mesh(TlsVersion),
    /// Istio's ALPN, a certificate of the mesh without a URI name.
    MeshWithoutUri,
    /// Istio's ALPN, a SPIFFE id of another trust domain, signed by the mesh's authority.
    MeshOtherDomain,
    /// Istio's ALPN, a SPIFFE certificate of another authority.
    MeshForeign(TlsVersion),
    /// Istio's ALPN, no certificate.
    MeshWithoutCertificate(TlsVersion),
    /// Ordinary TLS.
    Own(TlsVersion),
    /// Ordinary TLS without a server name.
    OwnWithoutSni(TlsVersion),
    /// Ordinary TLS without ALPN.
    OwnWithoutAlpn,
    /// Ordinary TLS with a SPIFFE certificate, sent if the server requests one.
    OwnHoldingMeshCertificate(TlsVersion),
}

/// The action of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// One exchange.
    Call,
    /// One exchange with this User-Agent.
    CallAs(&'static str),
    /// Concurrent requests on one connection.
    Multiplex(u32),
    /// Connects and closes without sending a byte.
    ConnectAndClose,
    /// One exchange through an Envoy that is the caller's sidecar.
    ThroughSidecar,
    /// One exchange from `::1`.
    CallOverIpv6,
}

/// The count of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A connection of a mutual TLS peer, and its requests.
    Mutual,
    /// A connection of a plaintext caller, and its requests.
    Plaintext,
    /// A connection with TLS that is passed through.
    Passthrough,
    /// A connection with TLS that is terminated without a client certificate, and its requests.
    NoClientCert,
    /// A failed handshake, no caller.
    HandshakeFailure,
    /// Nothing at all.
    Nothing,
}

impl Kind {
    /// `peer` and `strict` of a connection with this count.
    pub fn labels(&self, counted: Counted) -> Option<(&'static str, &'static str)> {
        let strict = match self.place {
            Exempt => "exempt",
            _ => "reject",
        };
        match counted {
            Mutual => Some(("mutual_tls", "allow")),
            Plaintext => Some(("plaintext", strict)),
            Passthrough => Some(("tls_passthrough", strict)),
            NoClientCert => Some(("tls_no_client_cert", strict)),
            HandshakeFailure | Nothing => None,
        }
    }

    /// The number of requests of a call with this count: 0 if the port or the call is not HTTP.
    pub fn requests(&self, counted: Counted) -> u32 {
        match (counted, self.does) {
            (Passthrough | HandshakeFailure | Nothing, _) => 0,
            _ if self.place == Tcp || self.protocol == Bytes => 0,
            // Without Istio's ALPN, STRICT terminates its TLS in the TCP chain of an automatic port.
            _ if self.is_exception() => 0,
            (_, Does::Multiplex(requests)) => requests,
            _ => 1,
        }
    }

    /// Whether STRICT serves it despite the verdict `reject`: it holds a certificate of the mesh but uses its own TLS,
    /// which PERMISSIVE passes through. STRICT terminates that TLS and requests the certificate. A PERMISSIVE listener
    /// cannot see it: in TLS 1.3 the client's certificate is encrypted, and no server requested it.
    pub fn is_exception(&self) -> bool {
        self.permissive == Passthrough && self.strict == Mutual
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.place.name())
    }
}

/// A kind at several ports.
struct Kinds {
    only: Option<Stage>,
    places: &'static [Place],
    kind: Kind,
}

const fn kind(
    name: &'static str,
    places: &'static [Place],
    protocol: CallerProtocol,
    over: Over,
    permissive: Counted,
    strict: Counted,
) -> Kinds {
    let kind = Kind {
        name,
        place: Http,
        protocol,
        over,
        does: Does::Call,
        permissive,
        strict,
    };
    Kinds {
        only: None,
        places,
        kind,
    }
}
const fn doing(does: Does, mut kinds: Kinds) -> Kinds {
    kinds.kind.does = does;
    kinds
}
const fn only(stage: Stage, mut kinds: Kinds) -> Kinds {
    kinds.only = Some(stage);
    kinds
}

use CallerProtocol::{Bytes, Grpc, Http1, Http2, WebSocket};
use Counted::{HandshakeFailure, Mutual, NoClientCert, Nothing, Passthrough, Plaintext};
use Over::{
    Mesh, MeshForeign, MeshOtherDomain, MeshWithoutCertificate, MeshWithoutUri, Own,
    OwnHoldingMeshCertificate, OwnWithoutAlpn, OwnWithoutSni, Plain,
};
use Place::{Auto, Exempt, Hbone, Http, OwnTls, Tcp, Undeclared};
use Stage::{Istiod, Shapes};
use TlsVersion::{V1_2, V1_3};

const ALL: &[Place] = &[Http, Tcp, Auto, Undeclared];
const NOT_TCP: &[Place] = &[Http, Auto, Undeclared];
const NOT_HTTP: &[Place] = &[Tcp, Auto, Undeclared];

/// Every kind, for both stages. [`Exempt`], [`OwnTls`] and [`Hbone`] exist only with the shapes.
#[rustfmt::skip] // a table: one line each
const KINDS: &[Kinds] = &[
    // Mutual TLS.
    kind("mTLS, HTTP/1.1", ALL, Http1, Mesh(V1_3), Mutual, Mutual),
    kind("mTLS, HTTP/1.1", &[Exempt], Http1, Mesh(V1_3), Mutual, Mutual),
    kind("mTLS over TLS 1.2, HTTP/1.1", ALL, Http1, Mesh(V1_2), Mutual, Mutual),
    kind("mTLS, HTTP/2", NOT_TCP, Http2, Mesh(V1_3), Mutual, Mutual),
    doing(Does::Multiplex(5), kind("mTLS, HTTP/2, 5 requests at once", &[Http], Http2, Mesh(V1_3), Mutual, Mutual)),
    kind("mTLS, gRPC stream", &[Http, Auto], Grpc, Mesh(V1_3), Mutual, Mutual),
    kind("mTLS, WebSocket", &[Http], WebSocket, Mesh(V1_3), Mutual, Mutual),
    kind("mTLS, bytes", NOT_HTTP, Bytes, Mesh(V1_3), Mutual, Mutual),
    kind("mTLS over TLS 1.2, bytes", &[Tcp], Bytes, Mesh(V1_2), Mutual, Mutual),
    only(Shapes, kind("mTLS, certificate without a URI", &[Http], Http1, MeshWithoutUri, Mutual, Mutual)),
    only(Shapes, kind("mTLS, certificate without a URI", &[Tcp], Bytes, MeshWithoutUri, Mutual, Mutual)),
    only(Shapes, doing(Does::ThroughSidecar, kind("through an Envoy sidecar, HTTP/1.1", &[Http], Http1, Plain, Mutual, Mutual))),
    only(Shapes, doing(Does::ThroughSidecar, kind("through an Envoy sidecar, bytes", &[Tcp], Bytes, Plain, Mutual, Mutual))),
    kind("in an HBONE tunnel, HTTP/1.1", &[Hbone], Http1, Plain, Mutual, Mutual),
    // Plaintext.
    kind("plain HTTP/1.1", ALL, Http1, Plain, Plaintext, Nothing),
    kind("plain HTTP/2 (h2c)", ALL, Http2, Plain, Plaintext, Nothing),
    doing(Does::Multiplex(5), kind("plain HTTP/2, 5 requests at once", &[Http], Http2, Plain, Plaintext, Nothing)),
    kind("plain gRPC stream", &[Http, Auto], Grpc, Plain, Plaintext, Nothing),
    kind("plain WebSocket", &[Http, Auto], WebSocket, Plain, Plaintext, Nothing),
    kind("plain bytes", ALL, Bytes, Plain, Plaintext, Nothing),
    doing(Does::CallAs("kube-probe/1.34"), kind("kubelet probe", &[Http], Http1, Plain, Plaintext, Nothing)),
    doing(Does::CallAs("Prometheus/3.5.0"), kind("Prometheus scrape", &[Http], Http1, Plain, Plaintext, Nothing)),
    only(Shapes, doing(Does::CallOverIpv6, kind("plain HTTP/1.1 over IPv6", &[Http], Http1, Plain, Plaintext, Nothing))),
    kind("plain HTTP/1.1", &[Exempt], Http1, Plain, Plaintext, Plaintext),
    kind("plain bytes", &[Exempt], Bytes, Plain, Plaintext, Plaintext),
    // TLS outside the mesh.
    kind("its own TLS 1.3", NOT_HTTP, Http1, Own(V1_3), Passthrough, HandshakeFailure),
    kind("its own TLS 1.2", NOT_HTTP, Http1, Own(V1_2), Passthrough, HandshakeFailure),
    kind("its own TLS 1.3, no SNI", NOT_HTTP, Http1, OwnWithoutSni(V1_3), Passthrough, HandshakeFailure),
    kind("its own TLS 1.2, no SNI", &[Tcp], Http1, OwnWithoutSni(V1_2), Passthrough, HandshakeFailure),
    kind("its own TLS 1.3, no ALPN", NOT_HTTP, Http1, OwnWithoutAlpn, Passthrough, HandshakeFailure),
    kind("its own TLS 1.3, bytes", NOT_HTTP, Bytes, Own(V1_3), Passthrough, HandshakeFailure),
    kind("its own TLS 1.3", &[Exempt], Http1, Own(V1_3), Passthrough, Passthrough),
    kind("its own TLS 1.3, holding a mesh certificate", NOT_HTTP, Http1, OwnHoldingMeshCertificate(V1_3), Passthrough, Mutual),
    kind("its own TLS 1.2, holding a mesh certificate", NOT_HTTP, Http1, OwnHoldingMeshCertificate(V1_2), Passthrough, Mutual),
    kind("TLS that the sidecar ends, no client certificate asked for", &[OwnTls], Http1, MeshWithoutCertificate(V1_3), NoClientCert, HandshakeFailure),
    // Not counted as callers: already rejected under PERMISSIVE, where an HTTP port has no chain for TLS without Istio's
    // ALPN, or closed without sending a byte.
    kind("its own TLS 1.3", &[Http], Http1, Own(V1_3), Nothing, HandshakeFailure),
    kind("its own TLS 1.2", &[Http], Http1, Own(V1_2), Nothing, HandshakeFailure),
    kind("its own TLS 1.3, holding a mesh certificate", &[Http], Http1, OwnHoldingMeshCertificate(V1_3), Nothing, Mutual),
    kind("Istio's ALPN without a certificate", ALL, Http1, MeshWithoutCertificate(V1_3), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN without a certificate, TLS 1.2", &[Http], Http1, MeshWithoutCertificate(V1_2), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN without a certificate, TLS 1.2", &[Tcp], Bytes, MeshWithoutCertificate(V1_2), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN, a foreign authority's certificate", ALL, Http1, MeshForeign(V1_3), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN, a foreign authority's certificate, TLS 1.2", &[Tcp], Bytes, MeshForeign(V1_2), HandshakeFailure, HandshakeFailure),
    // istiod's listeners match the trust domain of the certificate.
    only(Istiod, kind("Istio's ALPN, a certificate without a URI", &[Http, Tcp], Http1, MeshWithoutUri, HandshakeFailure, HandshakeFailure)),
    only(Istiod, kind("Istio's ALPN, another trust domain", &[Http, Tcp], Http1, MeshOtherDomain, HandshakeFailure, HandshakeFailure)),
    doing(Does::ConnectAndClose, kind("connects and closes", &[Http, Tcp, Auto], Bytes, Plain, Nothing, Nothing)),
];

/// The kinds of a stage; the index gives each its address and identity.
pub fn kinds(stage: Stage) -> Vec<Kind> {
    KINDS
        .iter()
        .filter(|kinds| kinds.only.is_none_or(|only| only == stage))
        .flat_map(|kinds| {
            kinds.places.iter().map(|&place| Kind {
                place,
                ..kinds.kind
            })
        })
        .filter(|kind| stage == Shapes || !matches!(kind.place, Exempt | OwnTls | Hbone))
        .collect()
}
