//! The backends behind the measured Envoy: 1 MiB bodies, a sink and a source of TCP bytes, on any free loopback port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::bootstrap::Backends;

/// The size of [`crate::bootstrap::LARGE`]'s body in bytes.
pub const LARGE_BODY: usize = 1 << 20;

/// Running backends. Dropping them closes their ports.
#[derive(Debug)]
pub struct Running {
    /// Where they listen.
    pub backends: Backends,
    /// The number of bytes that the sink has received.
    pub swallowed: Arc<AtomicU64>,
    accepting: [JoinHandle<()>; 3],
}

impl Running {
    /// Starts all three on the current runtime.
    ///
    /// # Errors
    /// No loopback port is free.
    pub async fn start() -> Result<Self> {
        let swallowed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&swallowed);
        let (large, large_task) = accept(serve_large).await?;
        let (sink, sink_task) = accept(move |stream| swallow(stream, Arc::clone(&counter))).await?;
        let (source, source_task) = accept(pour).await?;
        Ok(Self {
            backends: Backends {
                large,
                sink,
                source,
            },
            swallowed,
            accepting: [large_task, sink_task, source_task],
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

async fn accept<S, F>(serve: S) -> Result<(SocketAddr, JoinHandle<()>)>
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A block usually ends with Envoy closing a connection in the middle of a write.
            tokio::spawn(serve(stream));
        }
    });
    Ok((address, task))
}

/// Answers each request head with [`LARGE_BODY`] bytes.
async fn serve_large(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut response =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE_BODY}\r\n\r\n").into_bytes();
    response.resize(response.len() + LARGE_BODY, b'x');
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        // Requests have no body and are not pipelined, so the end of the head is the end of the request.
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(&response).await?;
        }
    }
    Ok(())
}

async fn swallow(mut stream: TcpStream, swallowed: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        swallowed.fetch_add(read as u64, Ordering::Relaxed);
    }
}

async fn pour(mut stream: TcpStream) -> std::io::Result<()> {
    let buffer = vec![b'x'; 256 << 10];
    loop {
        stream.write_all(&buffer).await?;
    }
}
