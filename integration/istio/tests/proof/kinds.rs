//! Every kind of caller, as data.

use plainsight_harness::callers::{Speaks, TlsVersion};
use plainsight_istio::mesh::Port;

use Over::*;
use Port::{Auto, Http, Tcp, Undeclared};
use Said::*;
use Speaks::{Bytes, Grpc, Http1, Http2, WebSocket};
use TlsVersion::{V1_2, V1_3};

/// One kind of caller at one port.
pub struct Kind {
    pub name: &'static str,
    pub port: Port,
    pub speaks: Speaks,
    pub over: Over,
    pub said: Said,
}

/// The TLS of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Plain,
    /// Plaintext, with this User-Agent.
    PlainAs(&'static str),
    /// Istio's ALPN, a SPIFFE certificate of the caller's own.
    Mesh(TlsVersion),
    /// Istio's ALPN, a certificate of the mesh without a URI name.
    MeshWithoutUri,
    /// Istio's ALPN, a SPIFFE id of another trust domain, signed by the mesh's authority.
    MeshOtherDomain,
    /// Istio's ALPN, a SPIFFE certificate of another authority.
    MeshForeign,
    /// Istio's ALPN, no certificate.
    MeshWithoutCertificate(TlsVersion),
    /// Ordinary TLS.
    Own(TlsVersion),
    OwnWithoutSni(TlsVersion),
    OwnWithoutAlpn,
    /// Ordinary TLS with a SPIFFE certificate, sent on request.
    OwnHolding(TlsVersion),
}

/// The expected verdict under PERMISSIVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// `peer="mutual_tls"`, `strict="allow"`.
    Mutual,
    /// `peer="plaintext"`, `strict="reject"`.
    Plaintext,
    /// `peer="tls_passthrough"`, `strict="reject"`.
    Passthrough,
    /// No caller: a failed handshake.
    HandshakeFailure,
    /// No caller: istiod's listener has no filter chain for it in either mode.
    NoChain,
}

/// Every kind; its index gives its address.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |name, ports: &[Port], speaks, over, said| {
        kinds.extend(ports.iter().map(|port| Kind {
            name,
            port: *port,
            speaks,
            over,
            said,
        }));
    };
    let all = [Http, Tcp, Auto, Undeclared];
    let not_http = [Tcp, Auto, Undeclared];
    let not_tcp = [Http, Auto, Undeclared];
    add("mTLS, HTTP/1.1", &all, Http1, Mesh(V1_3), Mutual);
    add(
        "mTLS over TLS 1.2, HTTP/1.1",
        &all,
        Http1,
        Mesh(V1_2),
        Mutual,
    );
    add("mTLS, HTTP/2", &not_tcp, Http2, Mesh(V1_3), Mutual);
    add("mTLS, gRPC stream", &[Http, Auto], Grpc, Mesh(V1_3), Mutual);
    add("mTLS, WebSocket", &[Http], WebSocket, Mesh(V1_3), Mutual);
    add("mTLS, bytes", &not_http, Bytes, Mesh(V1_3), Mutual);
    add(
        "mTLS over TLS 1.2, bytes",
        &[Tcp],
        Bytes,
        Mesh(V1_2),
        Mutual,
    );
    add("plain HTTP/1.1", &all, Http1, Plain, Plaintext);
    add("plain HTTP/2 (h2c)", &all, Http2, Plain, Plaintext);
    add("plain gRPC stream", &[Http, Auto], Grpc, Plain, Plaintext);
    add(
        "plain WebSocket",
        &[Http, Auto],
        WebSocket,
        Plain,
        Plaintext,
    );
    add("plain bytes", &all, Bytes, Plain, Plaintext);
    add(
        "kubelet probe",
        &[Http],
        Http1,
        PlainAs("kube-probe/1.34"),
        Plaintext,
    );
    add(
        "Prometheus scrape",
        &[Http],
        Http1,
        PlainAs("Prometheus/3.5.0"),
        Plaintext,
    );
    add("its own TLS 1.3", &not_http, Http1, Own(V1_3), Passthrough);
    add("its own TLS 1.2", &not_http, Http1, Own(V1_2), Passthrough);
    add(
        "its own TLS 1.3, no SNI",
        &not_http,
        Http1,
        OwnWithoutSni(V1_3),
        Passthrough,
    );
    add(
        "its own TLS 1.2, no SNI",
        &[Tcp],
        Http1,
        OwnWithoutSni(V1_2),
        Passthrough,
    );
    add(
        "its own TLS 1.3, no ALPN",
        &not_http,
        Http1,
        OwnWithoutAlpn,
        Passthrough,
    );
    add(
        "its own TLS 1.3, bytes",
        &not_http,
        Bytes,
        Own(V1_3),
        Passthrough,
    );
    add(
        "its own TLS 1.3, holding a mesh certificate",
        &not_http,
        Http1,
        OwnHolding(V1_3),
        Passthrough,
    );
    add(
        "its own TLS 1.2, holding a mesh certificate",
        &not_http,
        Http1,
        OwnHolding(V1_2),
        Passthrough,
    );
    add("its own TLS 1.3", &[Http], Http1, Own(V1_3), NoChain);
    add("its own TLS 1.2", &[Http], Http1, Own(V1_2), NoChain);
    add(
        "Istio's ALPN without a certificate",
        &all,
        Http1,
        MeshWithoutCertificate(V1_3),
        HandshakeFailure,
    );
    add(
        "Istio's ALPN without a certificate, TLS 1.2",
        &[Http, Tcp],
        Http1,
        MeshWithoutCertificate(V1_2),
        HandshakeFailure,
    );
    add(
        "Istio's ALPN, a foreign authority's certificate",
        &all,
        Http1,
        MeshForeign,
        HandshakeFailure,
    );
    add(
        "Istio's ALPN, a certificate without a URI",
        &[Http, Tcp],
        Http1,
        MeshWithoutUri,
        HandshakeFailure,
    );
    add(
        "Istio's ALPN, another trust domain",
        &[Http, Tcp],
        Http1,
        MeshOtherDomain,
        HandshakeFailure,
    );
    kinds
}
