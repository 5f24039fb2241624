//! An HTTP endpoint that serves one text, for Prometheus to scrape.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A running endpoint. It stops when dropped.
pub struct Page {
    address: SocketAddr,
    task: AbortHandle,
}

impl Page {
    /// Serves the result of `text`, which is called for each request, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No free port.
    pub async fn start(text: impl Fn() -> String + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let text = Arc::new(text);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let text = Arc::clone(&text);
                let answer = service_fn(move |_| {
                    let page = Bytes::from(text());
                    async move { Ok::<_, Infallible>(Response::new(Full::new(page))) }
                });
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    // Prometheus repeats a scrape that broke off.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self {
            address,
            task: task.abort_handle(),
        })
    }

    /// Its listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}
