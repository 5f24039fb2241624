//! The measured variants: filters, chains and loads. Envoy's configuration and the load generators are elsewhere.

use std::fmt;
use std::time::Duration;

use crate::load::Limit;

/// A filter, or plainsight in one of its installations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filter {
    /// The listener without a filter.
    None,
    /// The SDK's empty HTTP filter.
    SdkEmpty,
    /// The Lua filter that sets the same header and counts nothing.
    Lua,
    /// plainsight's NETWORK plugin alone.
    NetworkOnly,
    /// Both plugins of plainsight: the installation of the goals.
    Both,
    /// Both plugins of another build of plainsight, to show the effect of a change.
    Before,
}

impl Filter {
    /// The name in tables and in `bench.json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::SdkEmpty => "SDK's empty filter",
            Self::Lua => "Lua filter",
            Self::NetworkOnly => "plainsight, NETWORK only",
            Self::Both => "plainsight, both",
            Self::Before => "plainsight before, both",
        }
    }

    /// The name in listener names: letters and dashes only.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SdkEmpty => "empty",
            Self::Lua => "lua",
            Self::NetworkOnly => "network-only",
            Self::Both => "both",
            Self::Before => "before",
        }
    }
}

/// The purpose of a listener, apart from its filter. Each listener has its own Wasm VMs, so loads do not share state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// HTTP without TLS.
    Plaintext,
    /// HTTP behind mutual TLS; a client certificate is required.
    MutualTls,
    /// TCP proxied to a backend that discards bytes.
    TcpUpload,
    /// TCP proxied to a backend that sends bytes.
    TcpDownload,
    /// HTTP without TLS, for this number of callers.
    Callers(usize),
    /// HTTP without TLS, for the connections that are open and idle.
    Open,
}

/// One listener of the measured Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    /// Its purpose.
    pub chain: Chain,
    /// Its filter.
    pub filter: Filter,
}

impl fmt::Display for Listener {
    /// The listener's name, which is also its statistics prefix and its Wasm VM's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.filter.word();
        match self.chain {
            Chain::Plaintext => write!(f, "plaintext-{filter}"),
            Chain::MutualTls => write!(f, "mtls-{filter}"),
            Chain::TcpUpload => write!(f, "upload-{filter}"),
            Chain::TcpDownload => write!(f, "download-{filter}"),
            Chain::Callers(callers) => write!(f, "callers-{callers}-{filter}"),
            Chain::Open => write!(f, "open-{filter}"),
        }
    }
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Workload {
    /// HTTP/1.1 keep-alive by wrk.
    Http1,
    /// HTTP/1.1 keep-alive with a client certificate, by the bench's own client, because wrk cannot present one.
    Http1MutualTls,
    /// HTTP/2 by h2load.
    Http2,
    /// Responses of 1 MiB from a backend.
    LargeBody,
    /// TCP bytes from the client, which the NETWORK plugin sees before the backend does.
    TcpUpload,
    /// TCP bytes to the client.
    TcpDownload,
    /// One request on a new connection.
    NewConnections,
    /// One request on a new connection with a full mutual TLS handshake.
    NewMutualTlsConnections,
    /// HTTP/1.1 keep-alive on 1,000 connections that belong to this number of callers.
    Callers(usize),
    /// HTTP/1.1 keep-alive on the usual connections while this number of others is open and idle.
    Open(usize),
}

/// The connections that the callers of [`Workload::Callers`] share: the same for any number of callers.
pub const CALLER_CONNECTIONS: usize = 1_000;

/// The idle connections of [`Workload::Open`].
pub const CROWD: usize = 10_000;

impl Workload {
    /// Every load of a whole run, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Http1,
        Self::Http1MutualTls,
        Self::Http2,
        Self::LargeBody,
        Self::TcpUpload,
        Self::TcpDownload,
        Self::NewConnections,
        Self::NewMutualTlsConnections,
        Self::Callers(1),
        Self::Callers(100),
        Self::Callers(1_000),
        Self::Open(1),
        Self::Open(CROWD),
    ];

    /// The filters that are measured under this load.
    #[must_use]
    pub fn filters(self) -> &'static [Filter] {
        match self {
            Self::Http1 | Self::Http1MutualTls => {
                &[Filter::None, Filter::SdkEmpty, Filter::Lua, Filter::Both]
            }
            Self::Http2 | Self::LargeBody => &[Filter::None, Filter::SdkEmpty, Filter::Both],
            Self::TcpUpload | Self::TcpDownload => &[Filter::None, Filter::NetworkOnly],
            Self::NewConnections | Self::NewMutualTlsConnections => {
                &[Filter::None, Filter::SdkEmpty, Filter::Both]
            }
            Self::Callers(_) => &[Filter::Both],
            Self::Open(_) => &[Filter::None, Filter::Both],
        }
    }

    /// The listener's shape that this load needs.
    #[must_use]
    pub fn chain(self) -> Chain {
        match self {
            Self::Http1 | Self::Http2 | Self::LargeBody | Self::NewConnections => Chain::Plaintext,
            Self::Http1MutualTls | Self::NewMutualTlsConnections => Chain::MutualTls,
            Self::TcpUpload => Chain::TcpUpload,
            Self::TcpDownload => Chain::TcpDownload,
            Self::Callers(callers) => Chain::Callers(callers),
            Self::Open(_) => Chain::Open,
        }
    }

    /// The unit of the cost.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::TcpUpload | Self::TcpDownload => "MiB",
            Self::NewConnections | Self::NewMutualTlsConnections => "connection",
            _ => "request",
        }
    }

    /// The length of one block: long enough for thousands of units, short enough for many rounds.
    #[must_use]
    pub fn block(self) -> Limit {
        match self {
            // wrk takes whole seconds only.
            Self::Http1 => Limit::Time(Duration::from_secs(1)),
            // h2load takes whole seconds too, but also a number of requests.
            Self::Http2 => Limit::Units(30_000),
            _ => Limit::Time(Duration::from_millis(600)),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => write!(f, "http1"),
            Self::Http1MutualTls => write!(f, "http1-mtls"),
            Self::Http2 => write!(f, "http2"),
            Self::LargeBody => write!(f, "large-body"),
            Self::TcpUpload => write!(f, "tcp-upload"),
            Self::TcpDownload => write!(f, "tcp-download"),
            Self::NewConnections => write!(f, "new-connections"),
            Self::NewMutualTlsConnections => write!(f, "new-mtls-connections"),
            Self::Callers(callers) => write!(f, "callers-{callers}"),
            Self::Open(open) => write!(f, "open-{open}"),
        }
    }
}

/// One cell of the table: a load on a listener with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// The load.
    pub workload: Workload,
    /// The filter under it.
    pub filter: Filter,
}

impl Cell {
    /// The listener that the load goes to.
    #[must_use]
    pub fn listener(self) -> Listener {
        Listener {
            chain: self.workload.chain(),
            filter: self.filter,
        }
    }
}

/// The cells of these loads, load by load; with those of [`Filter::Before`] if another build is compared.
#[must_use]
pub fn cells(workloads: &[Workload], compare_builds: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &workload in workloads {
        let filters = workload.filters();
        cells.extend(filters.iter().map(|&filter| Cell { workload, filter }));
        // Where there is something to add to.
        if compare_builds && filters.contains(&Filter::Both) && filters.contains(&Filter::None) {
            let filter = Filter::Before;
            cells.push(Cell { workload, filter });
        }
    }
    cells
}
