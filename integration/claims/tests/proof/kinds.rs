//! Every kind of caller as data: its identity, its protocol, and the counts expected before and after the switch.

use plainsight_harness::callers::{Speaks, TlsVersion};

/// One kind of caller at one kind of port.
pub struct Kind {
    pub name: &'static str,
    pub port: Place,
    pub speaks: Speaks,
    pub over: Over,
    pub does: Does,
    /// Counted while the namespace is PERMISSIVE.
    pub permissive: Counts,
    /// Counted in addition under STRICT.
    pub strict: Counts,
}

/// The ports of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Http,
    Tcp,
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
    pub const ALL: [Place; 7] = [
        Place::Http,
        Place::Tcp,
        Place::Auto,
        Place::Undeclared,
        Place::Exempt,
        Place::OwnTls,
        Place::Hbone,
    ];
}

/// The TLS of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Plain,
    /// Istio's ALPN, a SPIFFE certificate of the caller's own.
    Mesh(TlsVersion),
    /// Istio's ALPN, a certificate of the mesh without a URI name.
    MeshWithoutUri,
    /// Istio's ALPN, a SPIFFE certificate of another authority.
    MeshForeign(TlsVersion),
    /// Istio's ALPN, no certificate.
    MeshWithoutCertificate(TlsVersion),
    /// Ordinary TLS.
    Own(TlsVersion),
    OwnWithoutSni(TlsVersion),
    /// Ordinary TLS with a SPIFFE certificate, sent if the server requests one.
    OwnHoldingMeshCertificate(TlsVersion),
}

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// One exchange.
    Call,
    /// One exchange under this User-Agent.
    CallAs(&'static str),
    /// Several requests at once on one connection.
    Multiplex(u32),
    /// Connects and closes without a byte.
    ConnectAndClose,
    /// One exchange through an Envoy that is the caller's sidecar.
    ThroughSidecar,
    /// One exchange from `::1`.
    CallOverIpv6,
}

/// The counts of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// One connection, and its requests.
    Peer {
        peer: &'static str,
        strict: &'static str,
        requests: u32,
    },
    /// A failed handshake, no caller.
    HandshakeFailure,
    /// Nothing at all.
    Nothing,
}

/// The filter's verdict on a kind; none if it reported no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Reject,
    Exempt,
    None,
}

const fn mutual(requests: u32) -> Counts {
    Counts::Peer {
        peer: "mutual_tls",
        strict: "allow",
        requests,
    }
}
const fn plain(requests: u32) -> Counts {
    Counts::Peer {
        peer: "plaintext",
        strict: "reject",
        requests,
    }
}
const PASSED: Counts = Counts::Peer {
    peer: "tls_passthrough",
    strict: "reject",
    requests: 0,
};

const fn kind(
    name: &'static str,
    port: Place,
    speaks: Speaks,
    over: Over,
    permissive: Counts,
    strict: Counts,
) -> Kind {
    Kind {
        name,
        port,
        speaks,
        over,
        does: Does::Call,
        permissive,
        strict,
    }
}
const fn doing(does: Does, kind: Kind) -> Kind {
    Kind { does, ..kind }
}

use Counts::{HandshakeFailure, Nothing};
use Over::{
    Mesh, MeshForeign, MeshWithoutCertificate, MeshWithoutUri, Own, OwnHoldingMeshCertificate,
    OwnWithoutSni, Plain,
};
use Place::{Auto, Exempt, Hbone, Http, OwnTls, Tcp, Undeclared};
use Speaks::{Bytes, Grpc, Http1, Http2, WebSocket};
use TlsVersion::{V1_2, V1_3};

/// Every kind. Order within a port matters only for reading.
#[rustfmt::skip] // a table: one line each
pub const KINDS: &[Kind] = &[
    // Mutual TLS.
    kind("mTLS, HTTP/1.1", Http, Http1, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS over TLS 1.2, HTTP/1.1", Http, Http1, Mesh(V1_2), mutual(1), mutual(1)),
    kind("mTLS, HTTP/2", Http, Http2, Mesh(V1_3), mutual(1), mutual(1)),
    doing(Does::Multiplex(5), kind("mTLS, HTTP/2, 5 requests at once", Http, Http2, Mesh(V1_3), mutual(5), mutual(5))),
    kind("mTLS, gRPC stream", Http, Grpc, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, WebSocket", Http, WebSocket, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, bytes", Tcp, Bytes, Mesh(V1_3), mutual(0), mutual(0)),
    kind("mTLS over TLS 1.2, bytes", Tcp, Bytes, Mesh(V1_2), mutual(0), mutual(0)),
    kind("mTLS, HTTP/1.1", Tcp, Http1, Mesh(V1_3), mutual(0), mutual(0)),
    kind("mTLS, HTTP/1.1", Auto, Http1, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, HTTP/2", Auto, Http2, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, bytes", Auto, Bytes, Mesh(V1_3), mutual(0), mutual(0)),
    kind("mTLS, HTTP/1.1", Undeclared, Http1, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, bytes", Undeclared, Bytes, Mesh(V1_3), mutual(0), mutual(0)),
    kind("mTLS, HTTP/1.1", Exempt, Http1, Mesh(V1_3), mutual(1), mutual(1)),
    kind("mTLS, certificate without a URI", Http, Http1, MeshWithoutUri, mutual(1), mutual(1)),
    kind("mTLS, certificate without a URI", Tcp, Bytes, MeshWithoutUri, mutual(0), mutual(0)),
    doing(Does::ThroughSidecar, kind("through an Envoy sidecar, HTTP/1.1", Http, Http1, Plain, mutual(1), mutual(1))),
    doing(Does::ThroughSidecar, kind("through an Envoy sidecar, bytes", Tcp, Bytes, Plain, mutual(0), mutual(0))),
    kind("in an HBONE tunnel, HTTP/1.1", Hbone, Http1, Plain, mutual(1), mutual(1)),
    // Plaintext.
    kind("plain HTTP/1.1", Http, Http1, Plain, plain(1), Nothing),
    kind("plain HTTP/2 (h2c)", Http, Http2, Plain, plain(1), Nothing),
    doing(Does::Multiplex(5), kind("plain HTTP/2, 5 requests at once", Http, Http2, Plain, plain(5), Nothing)),
    kind("plain gRPC stream", Http, Grpc, Plain, plain(1), Nothing),
    kind("plain WebSocket", Http, WebSocket, Plain, plain(1), Nothing),
    doing(Does::CallAs("kube-probe/1.31"), kind("kubelet probe", Http, Http1, Plain, plain(1), Nothing)),
    doing(Does::CallAs("Prometheus/2.53.0"), kind("Prometheus scrape", Http, Http1, Plain, plain(1), Nothing)),
    doing(Does::CallOverIpv6, kind("plain HTTP/1.1 over IPv6", Http, Http1, Plain, plain(1), Nothing)),
    kind("plain bytes", Http, Bytes, Plain, plain(0), Nothing),
    kind("plain bytes", Tcp, Bytes, Plain, plain(0), Nothing),
    kind("plain HTTP/1.1", Tcp, Http1, Plain, plain(0), Nothing),
    kind("plain HTTP/1.1", Auto, Http1, Plain, plain(1), Nothing),
    kind("plain HTTP/2 (h2c)", Auto, Http2, Plain, plain(1), Nothing),
    kind("plain bytes", Auto, Bytes, Plain, plain(0), Nothing),
    kind("plain HTTP/1.1", Undeclared, Http1, Plain, plain(1), Nothing),
    kind("plain bytes", Undeclared, Bytes, Plain, plain(0), Nothing),
    kind("plain HTTP/1.1", Exempt, Http1, Plain, exempt("plaintext", 1), exempt("plaintext", 1)),
    kind("plain bytes", Exempt, Bytes, Plain, exempt("plaintext", 0), exempt("plaintext", 0)),
    // TLS that is not the mesh's.
    kind("its own TLS 1.2", Tcp, Http1, Own(V1_2), PASSED, HandshakeFailure),
    kind("its own TLS 1.3", Tcp, Http1, Own(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.2, no SNI", Tcp, Http1, OwnWithoutSni(V1_2), PASSED, HandshakeFailure),
    kind("its own TLS 1.3, no SNI", Tcp, Http1, OwnWithoutSni(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.3, bytes", Tcp, Bytes, Own(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.2", Auto, Http1, Own(V1_2), PASSED, HandshakeFailure),
    kind("its own TLS 1.3", Auto, Http1, Own(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.3, no SNI", Auto, Http1, OwnWithoutSni(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.3", Undeclared, Http1, Own(V1_3), PASSED, HandshakeFailure),
    kind("its own TLS 1.3", Exempt, Http1, Own(V1_3), exempt("tls_passthrough", 0), exempt("tls_passthrough", 0)),
    kind("its own TLS 1.3", Http, Http1, Own(V1_3), Nothing, HandshakeFailure),
    kind("its own TLS 1.2, holding a mesh certificate", Tcp, Http1, OwnHoldingMeshCertificate(V1_2), PASSED, mutual(0)),
    kind("its own TLS 1.3, holding a mesh certificate", Tcp, Http1, OwnHoldingMeshCertificate(V1_3), PASSED, mutual(0)),
    kind("its own TLS 1.2, holding a mesh certificate", Auto, Http1, OwnHoldingMeshCertificate(V1_2), PASSED, mutual(0)),
    kind("its own TLS 1.3, holding a mesh certificate", Auto, Http1, OwnHoldingMeshCertificate(V1_3), PASSED, mutual(0)),
    kind("its own TLS 1.3, holding a mesh certificate", Http, Http1, OwnHoldingMeshCertificate(V1_3), Nothing, mutual(1)),
    kind("TLS that the sidecar ends, no client certificate asked for", OwnTls, Http1, MeshWithoutCertificate(V1_3), Counts::Peer { peer: "tls_no_client_cert", strict: "reject", requests: 1 }, HandshakeFailure),
    // No caller: already rejected under PERMISSIVE, or never sent a byte.
    kind("Istio's ALPN without a certificate", Http, Http1, MeshWithoutCertificate(V1_3), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN without a certificate", Tcp, Bytes, MeshWithoutCertificate(V1_2), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN, a foreign authority's certificate", Http, Http1, MeshForeign(V1_3), HandshakeFailure, HandshakeFailure),
    kind("Istio's ALPN, a foreign authority's certificate", Tcp, Bytes, MeshForeign(V1_2), HandshakeFailure, HandshakeFailure),
    doing(Does::ConnectAndClose, kind("connects and closes", Http, Http1, Plain, Nothing, Nothing)),
    doing(Does::ConnectAndClose, kind("connects and closes", Tcp, Bytes, Plain, Nothing, Nothing)),
    doing(Does::ConnectAndClose, kind("connects and closes", Auto, Bytes, Plain, Nothing, Nothing)),
];

const fn exempt(peer: &'static str, requests: u32) -> Counts {
    Counts::Peer {
        peer,
        strict: "exempt",
        requests,
    }
}
