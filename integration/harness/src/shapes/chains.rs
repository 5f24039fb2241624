//! The filter chains of a port, from the tables in istiod's
//! <https://github.com/istio/istio/blob/master/pilot/pkg/networking/core/filterchain_options.go>.

/// The `PeerAuthentication` mode in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mutual TLS and everything else.
    Permissive,
    /// Mutual TLS only.
    Strict,
    /// Plaintext only.
    Disable,
}

/// How the Service declares the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http`, `http2`, `grpc`: always parsed.
    Http,
    /// `tcp` and similar: never parsed.
    Tcp,
    /// No protocol: detected per connection.
    Auto,
}

/// The ALPN names istiod matches chains on.
pub const CHAIN_ALPN: Alpn = Alpn {
    mtls_http: &["istio-http/1.0", "istio-http/1.1", "istio-h2"],
    mtls_tcp: &["istio-peer-exchange", "istio"],
    mtls_all: &[
        "istio-peer-exchange",
        "istio",
        "istio-http/1.0",
        "istio-http/1.1",
        "istio-h2",
    ],
    plain_http: &["http/1.1", "h2c"],
};

/// Groups of ALPN names.
#[derive(Debug, Clone, Copy)]
pub struct Alpn {
    /// A sidecar whose client uses HTTP.
    pub mtls_http: &'static [&'static str],
    /// A sidecar that carries bytes.
    pub mtls_tcp: &'static [&'static str],
    /// Any sidecar.
    pub mtls_all: &'static [&'static str],
    /// Set by Envoy's HTTP inspector for plaintext.
    pub plain_http: &'static [&'static str],
}

/// The last filter of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// An HTTP connection manager.
    Http,
    /// A TCP proxy.
    Tcp,
}

/// One filter chain of a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// `transport_protocol` of the match: `tls` or `raw_buffer`.
    pub transport: &'static str,
    /// `application_protocols` of the match, empty for any.
    pub alpn: &'static [&'static str],
    pub carries: Carries,
    /// Whether the chain terminates TLS, always with a required client certificate.
    pub terminates_tls: bool,
}

const fn chain(
    transport: &'static str,
    alpn: &'static [&'static str],
    carries: Carries,
    terminates_tls: bool,
) -> Chain {
    Chain {
        transport,
        alpn,
        carries,
        terminates_tls,
    }
}

/// The chains of a port, in istiod's order.
pub(super) fn chains(mode: Mode, protocol: Protocol) -> Vec<Chain> {
    use Carries::{Http, Tcp};
    match (mode, protocol) {
        (Mode::Permissive, Protocol::Http) => {
            vec![
                chain("tls", CHAIN_ALPN.mtls_all, Http, true),
                chain("raw_buffer", &[], Http, false),
            ]
        }
        (Mode::Permissive, Protocol::Tcp) => vec![
            chain("tls", CHAIN_ALPN.mtls_all, Tcp, true),
            chain("tls", &[], Tcp, false),
            chain("raw_buffer", &[], Tcp, false),
        ],
        (Mode::Permissive, Protocol::Auto) => vec![
            chain("tls", CHAIN_ALPN.mtls_http, Http, true),
            chain("raw_buffer", CHAIN_ALPN.plain_http, Http, false),
            chain("tls", CHAIN_ALPN.mtls_tcp, Tcp, true),
            chain("raw_buffer", &[], Tcp, false),
            chain("tls", &[], Tcp, false),
        ],
        (Mode::Strict, Protocol::Http) => vec![chain("tls", &[], Http, true)],
        (Mode::Strict, Protocol::Tcp) => vec![chain("tls", &[], Tcp, true)],
        (Mode::Strict, Protocol::Auto) => {
            vec![
                chain("tls", CHAIN_ALPN.mtls_http, Http, true),
                chain("tls", &[], Tcp, true),
            ]
        }
        (Mode::Disable, Protocol::Http) => vec![chain("raw_buffer", &[], Http, false)],
        (Mode::Disable, Protocol::Tcp) => vec![chain("raw_buffer", &[], Tcp, false)],
        (Mode::Disable, Protocol::Auto) => vec![
            chain("raw_buffer", CHAIN_ALPN.plain_http, Http, false),
            chain("raw_buffer", &[], Tcp, false),
        ],
    }
}
