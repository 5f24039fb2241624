//! An open connection of a caller.
//!
//! HTTP/2 goes through `h2` itself. hyper's client asks whether the connection takes further requests after it has sent
//! one, and fails that request if a GOAWAY came in between (<https://github.com/hyperium/hyper/issues/2500>). A draining
//! Envoy sends GOAWAY ahead of each response, so on a busy machine hyper loses a request that Envoy answers.

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Caller, CallerProtocol, Reply};
use crate::eventually::in_time;

/// Any byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection. Dropping it closes it at once, without the protocol's own close.
pub struct Connection {
    headers: HeaderMap,
    session: Session,
}

enum Session {
    Http1(http1::SendRequest<Empty<Bytes>>, JoinHandle<()>),
    Http2(SendRequest<Bytes>, JoinHandle<()>),
    Grpc {
        connection: SendRequest<Bytes>,
        driver: JoinHandle<()>,
        call: Option<GrpcCall>,
    },
    WebSocket {
        stream: Option<Box<dyn Stream>>,
        socket: Option<Box<WebSocketStream<Box<dyn Stream>>>>,
    },
    Bytes(Box<dyn Stream>),
}

struct GrpcCall {
    sender: SendStream<Bytes>,
    response: Response<RecvStream>,
}

impl Connection {
    pub(super) async fn open(caller: &Caller, stream: Box<dyn Stream>) -> anyhow::Result<Self> {
        let session = match caller.protocol {
            CallerProtocol::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                Session::Http1(sender, tokio::spawn(async { drop(connection.await) }))
            }
            CallerProtocol::Http2 | CallerProtocol::Grpc => {
                let (connection, driver) = h2::client::handshake(stream).await?;
                let driver = tokio::spawn(async { drop(driver.await) });
                match caller.protocol {
                    CallerProtocol::Grpc => Session::Grpc {
                        connection,
                        driver,
                        call: None,
                    },
                    _ => Session::Http2(connection, driver),
                }
            }
            CallerProtocol::WebSocket => Session::WebSocket {
                stream: Some(stream),
                socket: None,
            },
            CallerProtocol::Bytes => Session::Bytes(stream),
        };
        Ok(Self {
            headers: caller.headers.clone(),
            session,
        })
    }

    /// One round trip: a request, a message on the gRPC stream or WebSocket, or bytes that are echoed. `path` applies to
    /// requests and to the first message.
    ///
    /// # Errors
    /// The connection broke, or the echo differs. An HTTP status is not an error.
    pub async fn exchange(&mut self, path: &str) -> anyhow::Result<Reply> {
        let headers = self.headers.clone();
        in_time("caller: exchange", async {
            match &mut self.session {
                Session::Http1(sender, _) => {
                    sender.ready().await?;
                    let mut request = request("GET", path, headers, Empty::new())?;
                    let host = HeaderValue::from_static("orders");
                    request.headers_mut().entry("host").or_insert(host);
                    let (parts, body) = sender.send_request(request).await?.into_parts();
                    Ok(reply(parts, body.collect().await?.to_bytes()))
                }
                Session::Http2(sender, _) => http2(sender.clone(), path, headers).await,
                Session::Grpc {
                    connection, call, ..
                } => grpc(connection, call, path, headers).await,
                Session::WebSocket { stream, socket } => {
                    web_socket(stream, socket, path, headers).await
                }
                Session::Bytes(stream) => echo(stream).await,
            }
        })
        .await
    }

    /// Sets a header of all further requests.
    pub fn set_header(&mut self, name: &'static str, value: &'static str) {
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    /// `requests` concurrent requests, multiplexed on one HTTP/2 connection.
    ///
    /// # Errors
    /// Not an HTTP/2 connection, or it broke.
    pub async fn requests_at_once(&mut self, requests: u32) -> anyhow::Result<Vec<Reply>> {
        let Session::Http2(sender, _) = &self.session else {
            bail!("caller: concurrent requests: not HTTP/2");
        };
        let each = (0..requests).map(|_| http2(sender.clone(), "/", self.headers.clone()));
        futures_util::future::try_join_all(each).await
    }

    /// Closes gracefully, after everything sent has arrived.
    pub async fn close(self) {
        match self.session {
            Session::Http1(sender, driver) => {
                drop(sender);
                let _ = driver.await;
            }
            Session::Http2(sender, driver) => {
                drop(sender);
                let _ = driver.await;
            }
            Session::Grpc {
                connection,
                driver,
                call,
            } => {
                drop((call, connection));
                let _ = driver.await;
            }
            Session::WebSocket { socket, stream } => {
                if let Some(mut socket) = socket {
                    let _ = socket.close().await;
                }
                drop(stream);
            }
            Session::Bytes(mut stream) => {
                let _ = stream.shutdown().await;
            }
        }
    }
}

fn request<B>(method: &str, uri: &str, headers: HeaderMap, body: B) -> anyhow::Result<Request<B>> {
    let mut request = Request::builder().method(method).uri(uri).body(body)?;
    request.headers_mut().extend(headers);
    Ok(request)
}

fn reply(parts: Parts, body: Bytes) -> Reply {
    Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

async fn http2(
    sender: SendRequest<Bytes>,
    path: &str,
    headers: HeaderMap,
) -> anyhow::Result<Reply> {
    let request = request("GET", &format!("http://orders{path}"), headers, ())?;
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    let (parts, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = data(&mut stream).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(reply(parts, body.into()))
}

/// The next chunk, with its part of the flow control window given back.
async fn data(stream: &mut RecvStream) -> anyhow::Result<Option<Bytes>> {
    let Some(chunk) = stream.data().await.transpose()? else {
        return Ok(None);
    };
    stream.flow_control().release_capacity(chunk.len())?;
    Ok(Some(chunk))
}

/// A gRPC message: no compression, a length, the bytes
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const GRPC_MESSAGE: Bytes = Bytes::from_static(b"\0\0\0\0\x04ping");

async fn grpc(
    connection: &SendRequest<Bytes>,
    call: &mut Option<GrpcCall>,
    path: &str,
    headers: HeaderMap,
) -> anyhow::Result<Reply> {
    if let Some(open) = call {
        open.sender.send_data(GRPC_MESSAGE, false)?;
    } else {
        let mut request = request("POST", &format!("http://orders{path}"), headers, ())?;
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        let mut connection = connection.clone().ready().await?;
        let (response, mut sender) = connection.send_request(request, false)?;
        sender.send_data(GRPC_MESSAGE, false)?;
        let response = response.await?;
        *call = Some(GrpcCall { sender, response });
    }
    let open = call.as_mut().context("caller: no gRPC call")?;
    let mut reply = Reply {
        status: open.response.status().as_u16(),
        headers: open.response.headers().clone(),
        body: Bytes::new(),
    };
    let mut body = Vec::new();
    while body.len() < GRPC_MESSAGE.len() {
        let Some(chunk) = data(open.response.body_mut()).await? else {
            break;
        };
        body.extend_from_slice(&chunk);
    }
    reply.body = body.into();
    ensure!(
        reply.body == GRPC_MESSAGE,
        "caller: gRPC: status {}: {:?}",
        reply.status,
        reply.body
    );
    Ok(reply)
}

async fn web_socket(
    stream: &mut Option<Box<dyn Stream>>,
    socket: &mut Option<Box<WebSocketStream<Box<dyn Stream>>>>,
    path: &str,
    headers: HeaderMap,
) -> anyhow::Result<Reply> {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let mut reply = Reply::default();
    if let Some(stream) = stream.take() {
        let mut request = format!("ws://orders{path}").into_client_request()?;
        request.headers_mut().extend(headers);
        let (open, response) = tokio_tungstenite::client_async(request, stream).await?;
        // 101 is the success status of this protocol.
        reply.headers = response.headers().clone();
        *socket = Some(Box::new(open));
    }
    reply.status = 101;
    let socket = socket
        .as_mut()
        .context("caller: WebSocket: no connection")?;
    socket.send(Message::text("ping")).await?;
    let message = socket.next().await.context("caller: WebSocket: closed")??;
    reply.body = message.into_data();
    ensure!(reply.body == "ping", "caller: WebSocket: {:?}", reply.body);
    Ok(reply)
}

async fn echo(stream: &mut Box<dyn Stream>) -> anyhow::Result<Reply> {
    stream.write_all(b"ping\n").await?;
    stream.flush().await?;
    let mut back = [0; 5];
    stream.read_exact(&mut back).await?;
    ensure!(&back == b"ping\n", "caller: bytes: {back:?}");
    Ok(Reply {
        body: Bytes::copy_from_slice(&back),
        ..Reply::default()
    })
}
