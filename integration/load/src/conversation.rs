//! The kinds of conversations of a client, each with exact expected counts.
//!
//! A client that aborts does so after the last answer that is counted, because Envoy has then read everything up to
//! that point.
//!
//! There is one exception: on an overloaded machine Envoy sometimes closes a connection between two pipelined
//! requests, with and without plainsight (measured with 1.40.0). Whether it had read the next request is then unknown,
//! so such requests are counted separately and their number is reported.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plainsight_harness::callers::{CallerProtocol, Tls, TlsVersion};
use plainsight_harness::eventually::in_time;

use crate::tally::{Counts, Tally};
use crate::wire::{Dial, End, answers, answers_until_end, echo, finish, request, send};

/// A kind of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation {
    /// Five sequential requests and an orderly close.
    KeepAlive,
    /// Ten requests in one write, then a FIN.
    Pipelined,
    /// Ten requests in one write, then a reset.
    PipelinedReset,
    /// A request, then half of another one, then a reset.
    HalfRequest,
    /// A request, then a half-close by the client, then by the server.
    HalfClosed,
    /// Ten concurrent requests on one HTTP/2 connection, closed without GOAWAY.
    Http2,
    /// The same, ended by a reset.
    Http2Reset,
    /// A gRPC stream of two messages, aborted while it is open.
    GrpcAborted,
    /// A WebSocket, aborted while it is open.
    WebSocketAborted,
    /// Bytes over TCP and an orderly close.
    Tcp,
    /// Bytes over TCP and a reset.
    TcpReset,
    /// Bytes over TCP, then a half-close by the client, then by the server.
    TcpHalfClosed,
    /// A connection without data; over mutual TLS, without data after the handshake.
    Silent,
    /// Half a ClientHello, then a reset. Plaintext only.
    HalfHello,
    /// TLS terminated by the application. Plaintext only.
    Passthrough,
    /// Mutual TLS without a certificate. Plaintext only.
    NoCertificate,
}

use Conversation::*;

/// The ports of the sidecar under load.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Declared as HTTP.
    pub http: std::net::SocketAddr,
    /// Declared as TCP.
    pub tcp: std::net::SocketAddr,
}

/// Half a ClientHello: the start of a TLS record of a handshake.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

impl Conversation {
    /// The conversations of plaintext and mutual TLS clients.
    pub const BOTH: [Conversation; 13] = [
        KeepAlive,
        Pipelined,
        PipelinedReset,
        HalfRequest,
        HalfClosed,
        Http2,
        Http2Reset,
        GrpcAborted,
        WebSocketAborted,
        Tcp,
        TcpReset,
        TcpHalfClosed,
        Silent,
    ];

    /// The conversations of clients without mutual TLS.
    pub const PLAIN_ONLY: [Conversation; 3] = [HalfHello, Passthrough, NoCertificate];

    fn protocol(self) -> CallerProtocol {
        match self {
            KeepAlive | Pipelined | PipelinedReset | HalfRequest | HalfClosed => {
                CallerProtocol::Http1
            }
            Http2 | Http2Reset => CallerProtocol::Http2,
            GrpcAborted => CallerProtocol::Grpc,
            WebSocketAborted => CallerProtocol::WebSocket,
            Tcp | TcpReset | TcpHalfClosed | Silent | HalfHello | Passthrough | NoCertificate => {
                CallerProtocol::Bytes
            }
        }
    }

    /// The called port.
    pub fn port(self, ports: Ports) -> std::net::SocketAddr {
        match self.protocol() {
            CallerProtocol::Bytes if self != NoCertificate => ports.tcp,
            _ => ports.http,
        }
    }

    /// The number of answered requests.
    fn requests(self) -> u64 {
        match self {
            KeepAlive => 5,
            Pipelined | PipelinedReset | Http2 | Http2Reset => 10,
            HalfRequest | HalfClosed | GrpcAborted | WebSocketAborted => 1,
            Tcp | TcpReset | TcpHalfClosed | Silent | HalfHello | Passthrough | NoCertificate => 0,
        }
    }

    /// The expected counts of plainsight.
    pub fn counts(self, mutual_tls: bool) -> Tally {
        let mut tally = Tally::default();
        let counts = Counts {
            connections: 1,
            requests: self.requests(),
        };
        match self {
            Silent | HalfHello => tally.silent = 1,
            NoCertificate => tally.handshake_failures = 1,
            Passthrough => tally.tls_passthrough = counts,
            _ if mutual_tls => tally.mutual_tls = counts,
            _ => tally.plaintext = counts,
        }
        tally
    }

    /// Runs the conversation.
    ///
    /// # Errors
    /// An answer is missing, a status is another, or a connection was cut.
    pub async fn hold(self, dial: &Dial<'_>) -> anyhow::Result<Tally> {
        let protocol = self.protocol();
        match self {
            KeepAlive => {
                let mut connection = dial.caller(protocol).connect(dial.to).await?;
                for _ in 0..self.requests() {
                    let reply = connection.exchange("/").await?;
                    anyhow::ensure!(reply.status == 200, "status {}", reply.status);
                }
                connection.close().await;
            }
            Pipelined | PipelinedReset => {
                let end = if self == Pipelined {
                    End::Fin
                } else {
                    End::Reset
                };
                let mut stream = dial.open(protocol, end).await?;
                send(&mut stream, request("").repeat(10).as_bytes()).await?;
                let came = answers_until_end(&mut stream, 10).await?;
                let mutual_tls = dial.identity.is_some();
                let mut tally = self.counts(mutual_tls);
                tally.cut_short(mutual_tls, 10 - came as u64);
                return Ok(tally);
            }
            HalfRequest => {
                let mut stream = dial.open(protocol, End::Reset).await?;
                send(&mut stream, request("").as_bytes()).await?;
                answers(&mut stream, 1).await?;
                send(&mut stream, b"POST / HTTP/1.1\r\nho").await?;
            }
            HalfClosed => {
                let mut stream = dial.open(protocol, End::Fin).await?;
                send(&mut stream, request("").as_bytes()).await?;
                answers(&mut stream, 1).await?;
                finish(&mut stream).await?;
            }
            Http2 => self.http2(dial, End::Fin).await?,
            Http2Reset => self.http2(dial, End::Reset).await?,
            GrpcAborted | WebSocketAborted => {
                let mut connection = dial.caller(protocol).connect(dial.to).await?;
                for _ in 0..2 {
                    connection.exchange("/").await?;
                }
                drop(connection);
            }
            Tcp | TcpReset => {
                let end = if self == Tcp { End::Fin } else { End::Reset };
                let mut stream = dial.open(protocol, end).await?;
                for _ in 0..3 {
                    echo(&mut stream).await?;
                }
            }
            TcpHalfClosed => {
                let mut stream = dial.open(protocol, End::Fin).await?;
                echo(&mut stream).await?;
                finish(&mut stream).await?;
            }
            Silent => {
                let mut stream = dial.open(protocol, End::Fin).await?;
                if dial.identity.is_some() {
                    finish(&mut stream).await?;
                }
            }
            HalfHello => {
                let mut stream = dial.tcp(End::Reset).await?;
                send(&mut stream, HALF_HELLO).await?;
            }
            Passthrough => {
                let stream = dial.tcp(End::Fin).await?;
                let tls = Tls::own(TlsVersion::V1_3).without_alpn();
                let mut stream = in_time("passthrough", tls.handshake(stream)).await?;
                echo(&mut stream).await?;
            }
            NoCertificate => {
                let stream = dial.tcp(End::Fin).await?;
                let tls = Tls::mesh(None, CallerProtocol::Http1);
                // In TLS 1.3 the rejection follows the handshake.
                if let Ok(mut stream) = tls.handshake(stream).await {
                    finish(&mut stream).await?;
                }
            }
        }
        Ok(self.counts(dial.identity.is_some()))
    }

    async fn http2(self, dial: &Dial<'_>, end: End) -> anyhow::Result<()> {
        let stream = dial.open(self.protocol(), end).await?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await?;
        let driver = tokio::spawn(connection);
        let asked = in_time("http2", async {
            let mut open = tokio::task::JoinSet::new();
            for _ in 0..self.requests() {
                let mut sender = sender.clone();
                open.spawn(async move {
                    sender.ready().await?;
                    let request = Request::get("http://orders/").body(Empty::<Bytes>::new())?;
                    let response = sender.send_request(request).await?;
                    anyhow::ensure!(response.status() == 200, "status {}", response.status());
                    response.into_body().collect().await?;
                    Ok(())
                });
            }
            while let Some(done) = open.join_next().await {
                done??;
            }
            Ok(())
        })
        .await;
        // Closes the connection without GOAWAY.
        driver.abort();
        let _ = driver.await;
        asked
    }
}
