//! An HTTP/1.1 keep-alive client that supports source addresses and client certificates, unlike wrk.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use plainsight_harness::callers::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::load::{Budget, Limit, spend};

/// The User-Agent of every load, unlike that of any prober or scraper.
pub const USER_AGENT: &str = "plainsight-bench";

/// The source address of loads that do not need several callers.
pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Connections opened concurrently: fewer than any listener's backlog.
const OPENING: usize = 64;

/// A plain or TLS stream.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A listener, and how to connect to it.
#[derive(Clone)]
pub struct Target {
    /// The listener.
    pub address: SocketAddr,
    /// Mutual TLS of this client, or no TLS.
    pub tls: Option<Tls>,
}

impl Target {
    /// A connection from `source`, with the TLS handshake done.
    ///
    /// # Errors
    /// The connection or the handshake fails.
    pub async fn connect(&self, source: IpAddr) -> Result<Box<dyn Duplex>> {
        let socket = TcpSocket::new_v4()?;
        if source != LOCALHOST {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket
            .connect(self.address)
            .await
            .with_context(|| format!("{}: connect from {source}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            // A fresh TLS configuration each time: no session is resumed, every handshake is a full one.
            Some(tls) => Box::new(tls.handshake(stream).await?),
        })
    }
}

/// The address of the n-th caller, in 127.0.0.0/8 and never 127.0.0.1.
#[must_use]
pub fn caller(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 1, high, low))
}

/// Open connections to one target, each with one request served.
pub struct Clients {
    open: Vec<Client>,
}

impl Clients {
    /// One connection for each of these sources, each with one request of `path` served.
    ///
    /// # Errors
    /// A connection or a request fails.
    pub async fn open(target: &Target, path: &str, sources: Vec<IpAddr>) -> Result<Self> {
        let mut open = Vec::with_capacity(sources.len());
        for batch in sources.chunks(OPENING) {
            let mut opening: JoinSet<Result<Client>> = batch
                .iter()
                .map(|&source| Client::open(target.clone(), path.to_owned(), source))
                .collect();
            while let Some(client) = opening.join_next().await {
                open.push(client??);
            }
        }
        Ok(Self { open })
    }

    /// Sends requests on all connections, one at a time on each, and returns the number served.
    ///
    /// # Errors
    /// A request fails or is not answered with 200.
    pub async fn send(&mut self, limit: Limit) -> Result<u64> {
        let clients = std::mem::take(&mut self.open);
        let (served, clients) = spend(limit, clients, Client::send).await?;
        self.open = clients;
        Ok(served)
    }
}

/// One keep-alive connection.
pub struct Client {
    stream: Box<dyn Duplex>,
    request: Arc<[u8]>,
    received: Vec<u8>,
}

impl Client {
    /// A connection from `source` on which `path` has been served once.
    ///
    /// # Errors
    /// The connection or the request fails.
    pub async fn open(target: Target, path: String, source: IpAddr) -> Result<Self> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: bench.example\r\nuser-agent: {USER_AGENT}\r\n\r\n"
        );
        let mut client = Self {
            stream: target.connect(source).await?,
            request: request.into_bytes().into(),
            received: Vec::with_capacity(1 << 10),
        };
        client.exchange().await?;
        Ok(client)
    }

    async fn send(mut self, budget: Arc<Budget>) -> Result<(u64, Self)> {
        let mut served = 0;
        while budget.take() {
            self.exchange().await?;
            served += 1;
        }
        Ok((served, self))
    }

    /// One request and its whole response.
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        // The TLS layer may buffer records until a flush.
        self.stream.flush().await?;
        self.received.clear();
        let mut left = loop {
            ensure!(
                self.stream.read_buf(&mut self.received).await? > 0,
                "response: closed after {} bytes",
                self.received.len()
            );
            if let Some(left) = body_left(&self.received)? {
                break left;
            }
        };
        while left > 0 {
            self.received.clear();
            self.received.reserve(left.min(256 << 10));
            let read = self.stream.read_buf(&mut self.received).await?;
            ensure!(read > 0, "response: closed with {left} bytes missing");
            left = left
                .checked_sub(read)
                .context("response: longer than its content-length")?;
        }
        Ok(())
    }
}

/// The number of body bytes still missing, `None` while the head is incomplete.
fn body_left(received: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else {
        return Ok(None);
    };
    let Some(200) = response.code else {
        bail!("response: expected 200, got {:?}", response.code);
    };
    let length: usize = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .context("response: content-length: expected a number")?;
    let body = received.len() - head;
    let left = length.checked_sub(body);
    Ok(Some(
        left.context("response: longer than its content-length")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_to_the_end_of_its_body_and_no_further() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(body_left(response).unwrap(), Some(0));
        assert_eq!(body_left(&response[..response.len() - 1]).unwrap(), Some(1));
        assert_eq!(body_left(&response[..20]).unwrap(), None);
        assert!(body_left(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok").is_err());
    }

    #[test]
    fn a_status_other_than_200_is_not_a_served_request() {
        let refused = body_left(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        assert!(refused.unwrap_err().to_string().contains("503"));
    }

    #[test]
    fn callers_have_distinct_addresses() {
        let callers: std::collections::BTreeSet<IpAddr> = (1..=1_000).map(caller).collect();
        assert_eq!(callers.len(), 1_000);
        assert!(callers.iter().all(IpAddr::is_loopback));
        assert!(!callers.contains(&LOCALHOST));
    }
}
