//! Every kind of caller: its protocol, source address and TLS.

mod connection;
mod tls;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::{TcpSocket, TcpStream};

use crate::eventually::in_time;
use crate::pki::Identity;
pub use connection::Connection;
pub use tls::{Tls, TlsVersion};

/// The protocol of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge when there is no TLS.
    Http2,
    /// A bidirectional gRPC stream that stays open.
    Grpc,
    /// A WebSocket that stays open.
    WebSocket,
    /// Bytes that are not HTTP.
    Bytes,
}

/// A caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its source address.
    pub source: IpAddr,
    /// Its protocol.
    pub protocol: CallerProtocol,
    /// Its TLS, or none.
    pub tls: Option<Tls>,
    /// Headers of each request.
    pub headers: HeaderMap,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The HTTP status, 0 for bytes.
    pub status: u16,
    /// The response's headers.
    pub headers: HeaderMap,
    /// The body, the message or the bytes.
    pub body: bytes::Bytes,
}

impl Reply {
    /// The values of the header `name` as the application received it.
    pub fn header_seen_by_app(&self, name: &str) -> Vec<String> {
        let seen: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let values = seen["headers"][name]
            .as_array()
            .cloned()
            .unwrap_or_default();
        values
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }
}

impl Caller {
    /// A caller from `source`, an address of the loopback interface.
    ///
    /// # Panics
    /// `source` is not an IP address.
    pub fn new(source: &str, protocol: CallerProtocol) -> Self {
        let source = source
            .parse()
            .unwrap_or_else(|_| panic!("caller: not an address: {source}"));
        Self {
            source,
            protocol,
            tls: None,
            headers: HeaderMap::new(),
        }
    }

    /// Plain HTTP/1.1.
    pub fn http1(source: &str) -> Self {
        Self::new(source, CallerProtocol::Http1)
    }

    /// h2c.
    pub fn http2(source: &str) -> Self {
        Self::new(source, CallerProtocol::Http2)
    }

    /// A plain gRPC stream.
    pub fn grpc(source: &str) -> Self {
        Self::new(source, CallerProtocol::Grpc)
    }

    /// A plain WebSocket.
    pub fn web_socket(source: &str) -> Self {
        Self::new(source, CallerProtocol::WebSocket)
    }

    /// Plain bytes.
    pub fn bytes(source: &str) -> Self {
        Self::new(source, CallerProtocol::Bytes)
    }

    /// The same caller over TLS.
    pub fn over(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same caller over mutual TLS, as from a sidecar with this identity: with Istio's ALPN for its protocol.
    pub fn over_mesh(self, identity: &Identity) -> Self {
        let tls = Tls::mesh(Some(identity), self.protocol);
        self.over(tls)
    }

    /// The same caller with a header in each request; a repeated name is sent repeatedly.
    ///
    /// # Panics
    /// Invalid header name or value.
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("caller: not a header name");
        self.headers.append(
            name,
            HeaderValue::from_bytes(value.as_ref()).expect("caller: not a header value"),
        );
        self
    }

    /// Opens the TCP connection from [`Caller::source`].
    ///
    /// # Errors
    /// The address cannot be bound, or the connection was refused.
    pub async fn tcp(&self, to: SocketAddr) -> anyhow::Result<TcpStream> {
        let socket = if self.source.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket
            .bind((self.source, 0).into())
            .with_context(|| format!("caller: cannot bind {}", self.source))?;
        let stream = socket
            .connect(to)
            .await
            .with_context(|| format!("caller: {to}: no connection"))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Connects, including the handshake. The connection stays open until dropped.
    ///
    /// # Errors
    /// The connection or a handshake failed.
    pub async fn connect(&self, to: SocketAddr) -> anyhow::Result<Connection> {
        in_time("caller: connect", async {
            let stream = self.tcp(to).await?;
            match &self.tls {
                None => Connection::open(self, Box::new(stream)).await,
                Some(tls) => Connection::open(self, Box::new(tls.handshake(stream).await?)).await,
            }
        })
        .await
    }

    /// Connects, makes one exchange and closes.
    ///
    /// # Errors
    /// No successful answer.
    pub async fn call(&self, to: SocketAddr) -> anyhow::Result<Reply> {
        self.get(to, "/").await
    }

    /// As [`Caller::call`], with a path.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn get(&self, to: SocketAddr, path: &str) -> anyhow::Result<Reply> {
        let mut connection = self.connect(to).await?;
        let reply = connection.exchange(path).await?;
        ensure!(
            self.protocol == CallerProtocol::Bytes || reply.status < 300,
            "caller: status {}: {}",
            reply.status,
            String::from_utf8_lossy(&reply.body)
        );
        connection.close().await;
        Ok(reply)
    }

    /// Connects and sends `requests` concurrent requests on one HTTP/2 connection.
    ///
    /// # Errors
    /// The connection failed, it is not HTTP/2, or a request was not successful.
    pub async fn call_at_once(&self, to: SocketAddr, requests: u32) -> anyhow::Result<()> {
        let mut connection = self.connect(to).await?;
        let replies = in_time(
            "caller: concurrent requests",
            connection.requests_at_once(requests),
        )
        .await?;
        for reply in replies {
            ensure!(reply.status < 300, "caller: status {}", reply.status);
        }
        connection.close().await;
        Ok(())
    }

    /// Connects by TCP and closes without sending a byte.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect_and_close(&self, to: SocketAddr) -> anyhow::Result<()> {
        drop(self.tcp(to).await?);
        Ok(())
    }
}
