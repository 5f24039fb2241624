//! An HTTP endpoint that shows a page of metrics.

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

/// A running endpoint; it stops when dropped.
pub struct Page {
    address: SocketAddr,
    task: AbortHandle,
}

impl Page {
    /// Shows what `text` returns, anew for each scrape.
    ///
    /// # Errors
    /// No port.
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
                    // A scrape that breaks off is repeated by Prometheus.
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Self {
            address,
            task: task.abort_handle(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}
