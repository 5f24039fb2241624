//! The application upstream of the sidecar, with every protocol on one port.
//!
//! A ClientHello starts the application's own TLS. A request (HTTP/1.1, h2c, gRPC, WebSocket) is answered with its own
//! content, anything else is echoed.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::pki::Authority;

/// A running application. It stops when dropped.
pub struct App {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    task: AbortHandle,
}

impl App {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No free port, or no certificate for its own TLS.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts on `address`, in a network namespace that the test made.
    ///
    /// # Errors
    /// The address is taken, or no certificate for its own TLS.
    pub async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let identity = Authority::new("the application's own")?.without_uri()?;
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(identity.chain(), identity.key())?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            // Accept errors are transient (client gone, out of file descriptors): retry.
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                counter.fetch_add(1, Ordering::Relaxed);
                // The caller reports a failed connection.
                tokio::spawn(serve(stream, acceptor.clone()));
            }
        });
        Ok(Self {
            address,
            connections,
            task: task.abort_handle(),
        })
    }

    /// Its listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first byte of a TLS record that carries a handshake: RFC 8446, section 5.1.
const TLS_HANDSHAKE: u8 = 0x16;

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0; 1];
    if stream.peek(&mut first).await? == 0 {
        return Ok(());
    }
    if first[0] == TLS_HANDSHAKE {
        let mut stream = acceptor.accept(stream).await?;
        let mut start = [0; 1];
        if stream.read(&mut start).await? == 0 {
            return Ok(());
        }
        let (reader, writer) = tokio::io::split(stream);
        let first_again = std::io::Cursor::new(start).chain(reader);
        return dispatch(tokio::io::join(first_again, writer), start[0]).await;
    }
    dispatch(stream, first[0]).await
}

async fn dispatch<S>(stream: S, first: u8) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // HTTP methods and the HTTP/2 preface are upper case; the raw callers of this crate send lower case.
    if first.is_ascii_uppercase() {
        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
            .serve_connection_with_upgrades(
                TokioIo::new(stream),
                hyper::service::service_fn(answer),
            )
            .await
            .map_err(|error| anyhow::anyhow!("app: {error}"))
    } else {
        echo(stream).await
    }
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> anyhow::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            stream.shutdown().await?;
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    if let Some(key) = header("sec-websocket-key") {
        return Ok(web_socket(request, &key));
    }
    if header("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Ok(grpc(request));
    }
    let seen = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "version": format!("{:?}", request.version()),
        "headers": headers_as_json(request.headers()),
    });
    let own_header = header(SET_HEADER);
    // The body is drained, so that a keep-alive connection stays in sync.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(
        Full::from(seen.to_string())
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    if let Some((name, value)) = own_header.as_deref().and_then(|text| text.split_once('='))
        && let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse())
    {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// A request with this header (`name=value`) gets a response header of that name.
pub const SET_HEADER: &str = "x-app-sets";

/// A map of names to lists of values; invalid UTF-8 becomes the replacement character.
fn headers_as_json(headers: &HeaderMap) -> Value {
    let mut map = serde_json::Map::new();
    for name in headers.keys() {
        let values = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        map.insert(name.as_str().to_owned(), values.collect());
    }
    Value::Object(map)
}

/// Echoes every frame, then sends the trailers of a successful call.
fn grpc(request: Request<Incoming>) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, hyper::Error>>(16);
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && sender.send(Ok(Frame::data(data))).await.is_err()
            {
                return;
            }
        }
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let _ = sender.send(Ok(Frame::trailers(trailers))).await;
    });
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn web_socket(request: Request<Incoming>, key: &str) -> Response<Body> {
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        let mut socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        echo_messages(&mut socket).await;
    });
    let mut response = Response::new(
        Full::default()
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    if let Ok(value) = HeaderValue::from_str(&accept) {
        headers.insert("sec-websocket-accept", value);
    }
    response
}

async fn echo_messages<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    use futures_util::{SinkExt, StreamExt};
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            return;
        }
    }
}
