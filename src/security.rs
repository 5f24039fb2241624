//! How a connection was secured, and what STRICT would do with it. Pure.

/// How a connection was secured: the label `peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionSecurity {
    /// Mutual TLS: the client presented a certificate and Envoy verified it.
    MutualTls,
    /// TLS terminated at this proxy, without a client certificate.
    TlsNoClientCert,
    /// The application's own TLS, passed through.
    TlsPassthrough,
    /// No TLS.
    Plaintext,
}

impl ConnectionSecurity {
    /// The label's value and the header's token.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionSecurity::MutualTls => "mutual_tls",
            ConnectionSecurity::TlsNoClientCert => "tls_no_client_cert",
            ConnectionSecurity::TlsPassthrough => "tls_passthrough",
            ConnectionSecurity::Plaintext => "plaintext",
        }
    }

    /// What STRICT would do with such a connection.
    pub fn under_strict(self, port_is_exempt: bool) -> Strict {
        match (self, port_is_exempt) {
            (ConnectionSecurity::MutualTls, _) => Strict::Allow,
            (
                ConnectionSecurity::TlsNoClientCert
                | ConnectionSecurity::TlsPassthrough
                | ConnectionSecurity::Plaintext,
                exempt,
            ) => {
                if exempt {
                    Strict::Exempt
                } else {
                    Strict::Reject
                }
            }
        }
    }
}

/// What STRICT would do with a connection: the label `strict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strict {
    /// Serve it.
    Allow,
    /// Reject it.
    Reject,
    /// Serve it, because the port stays open (`portLevelMtls`).
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

    const UNAUTHENTICATED: [ConnectionSecurity; 3] = [
        ConnectionSecurity::TlsNoClientCert,
        ConnectionSecurity::TlsPassthrough,
        ConnectionSecurity::Plaintext,
    ];

    #[test]
    fn strict_allows_only_mutual_tls() {
        let verdict = ConnectionSecurity::MutualTls.under_strict(false);
        assert_eq!(verdict, Strict::Allow);
        for security in UNAUTHENTICATED {
            assert_eq!(security.under_strict(false), Strict::Reject);
        }
    }

    #[test]
    fn an_exempt_port_serves_all_callers_and_mutual_tls_stays_allow() {
        let verdict = ConnectionSecurity::MutualTls.under_strict(true);
        assert_eq!(verdict, Strict::Allow);
        for security in UNAUTHENTICATED {
            assert_eq!(security.under_strict(true), Strict::Exempt);
        }
    }
}
