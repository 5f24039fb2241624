//! An open connection of a caller.

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Caller, CallerProtocol, Reply};
use crate::eventually::in_time;

/// Any byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// An open connection. Dropping it closes it at once, without the protocol's own close.
pub struct Connection {
    headers: HeaderMap,
    session: Session,
}

enum Session {
    Http1(http1::SendRequest<Body>, JoinHandle<()>),
    Http2(http2::SendRequest<Body>, JoinHandle<()>),
    Grpc {
        connection: http2::SendRequest<Body>,
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
    sender: mpsc::Sender<Result<Frame<Bytes>, std::convert::Infallible>>,
    response: Response<Incoming>,
}

impl Connection {
    pub(super) async fn open(caller: &Caller, stream: Box<dyn Stream>) -> anyhow::Result<Self> {
        let session = match caller.protocol {
            CallerProtocol::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                Session::Http1(sender, tokio::spawn(async { drop(connection.await) }))
            }
            CallerProtocol::Http2 | CallerProtocol::Grpc => {
                let (connection, driver) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
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
                    let request =
                        request("GET", path, false, headers, Empty::new().boxed_unsync())?;
                    read(sender.send_request(request).await?).await
                }
                Session::Http2(sender, _) => {
                    sender.ready().await?;
                    let request = request("GET", path, true, headers, Empty::new().boxed_unsync())?;
                    read(sender.send_request(request).await?).await
                }
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
        self.headers
            .insert(name, hyper::header::HeaderValue::from_static(value));
    }

    /// `requests` concurrent requests, multiplexed on one HTTP/2 connection.
    ///
    /// # Errors
    /// Not an HTTP/2 connection, or it broke.
    pub async fn requests_at_once(&mut self, requests: u32) -> anyhow::Result<Vec<Reply>> {
        let Session::Http2(sender, _) = &self.session else {
            bail!("caller: concurrent requests: not HTTP/2");
        };
        let each = (0..requests).map(|_| {
            let (mut sender, headers) = (sender.clone(), self.headers.clone());
            async move {
                sender.ready().await?;
                read(
                    sender
                        .send_request(request(
                            "GET",
                            "/",
                            true,
                            headers,
                            Empty::new().boxed_unsync(),
                        )?)
                        .await?,
                )
                .await
            }
        });
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

fn request(
    method: &str,
    path: &str,
    absolute: bool,
    headers: HeaderMap,
    body: Body,
) -> anyhow::Result<Request<Body>> {
    let builder = Request::builder().method(method);
    let mut request = if absolute {
        builder.uri(format!("http://orders{path}")).body(body)?
    } else {
        builder.uri(path).header("host", "orders").body(body)?
    };
    request.headers_mut().extend(headers);
    Ok(request)
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Reply> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

/// A gRPC message: no compression, a length, the bytes
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
const GRPC_MESSAGE: Bytes = Bytes::from_static(b"\0\0\0\0\x04ping");

async fn grpc(
    connection: &mut http2::SendRequest<Body>,
    call: &mut Option<GrpcCall>,
    path: &str,
    headers: HeaderMap,
) -> anyhow::Result<Reply> {
    if call.is_none() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Ok(Frame::data(GRPC_MESSAGE))).await?;
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        let mut request = request(
            "POST",
            path,
            true,
            headers,
            StreamBody::new(frames).boxed_unsync(),
        )?;
        request.headers_mut().insert(
            "content-type",
            hyper::header::HeaderValue::from_static("application/grpc"),
        );
        request
            .headers_mut()
            .insert("te", hyper::header::HeaderValue::from_static("trailers"));
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        *call = Some(GrpcCall { sender, response });
    } else if let Some(open) = call {
        open.sender.send(Ok(Frame::data(GRPC_MESSAGE))).await?;
    }
    let open = call.as_mut().context("caller: no gRPC call")?;
    let mut reply = Reply {
        status: open.response.status().as_u16(),
        headers: open.response.headers().clone(),
        body: Bytes::new(),
    };
    let mut body = Vec::new();
    while body.len() < GRPC_MESSAGE.len() {
        let Some(frame) = open.response.body_mut().frame().await else {
            break;
        };
        if let Ok(bytes) = frame?.into_data() {
            body.extend_from_slice(&bytes);
        }
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
