//! How a connection was made, and what STRICT would do with it. Pure: facts in, verdict out.

/// How a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Mutual TLS: a client certificate was presented and verified.
    MutualTls,
    /// TLS ended at this proxy, and the client showed no certificate.
    TlsNoClientCert,
    /// The application's own TLS, passed through.
    TlsPassthrough,
    /// No TLS at all.
    Plaintext,
}

impl Peer {
    /// The label's value, and the header's token.
    pub fn as_str(self) -> &'static str {
        match self {
            Peer::MutualTls => "mutual_tls",
            Peer::TlsNoClientCert => "tls_no_client_cert",
            Peer::TlsPassthrough => "tls_passthrough",
            Peer::Plaintext => "plaintext",
        }
    }

    /// What STRICT would do with such a connection to a port.
    pub fn under_strict(self, port_is_exempt: bool) -> Strict {
        match (self, port_is_exempt) {
            (Peer::MutualTls, _) => Strict::Allow,
            (Peer::TlsNoClientCert | Peer::TlsPassthrough | Peer::Plaintext, true) => {
                Strict::Exempt
            }
            (Peer::TlsNoClientCert | Peer::TlsPassthrough | Peer::Plaintext, false) => {
                Strict::Reject
            }
        }
    }
}

/// What STRICT would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strict {
    /// Serve it.
    Allow,
    /// Turn it away.
    Reject,
    /// Serve it, because the port stays out of STRICT (`portLevelMtls`).
    Exempt,
}

impl Strict {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Strict::Allow => "allow",
            Strict::Reject => "reject",
            Strict::Exempt => "exempt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mutual_tls_is_allowed() {
        assert_eq!(Peer::MutualTls.under_strict(false), Strict::Allow);
        for peer in [Peer::TlsNoClientCert, Peer::TlsPassthrough, Peer::Plaintext] {
            assert_eq!(peer.under_strict(false), Strict::Reject);
        }
    }

    #[test]
    fn an_exempt_port_exempts_all_but_mutual_tls() {
        assert_eq!(Peer::MutualTls.under_strict(true), Strict::Allow);
        for peer in [Peer::TlsNoClientCert, Peer::TlsPassthrough, Peer::Plaintext] {
            assert_eq!(peer.under_strict(true), Strict::Exempt);
        }
    }
}
