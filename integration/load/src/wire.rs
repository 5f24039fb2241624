//! A byte stream to the sidecar, plain or over mutual TLS, that can end in every way that a client can end it.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use plainsight_harness::callers::{Caller, CallerProtocol, Tls};
use plainsight_harness::eventually::in_time;
use plainsight_harness::pki::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Any stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How a connection ends when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Fin,
    /// With a reset.
    Reset,
}

/// The identity, source and destination of a connection.
#[derive(Clone, Debug)]
pub struct Dial<'a> {
    /// The source address.
    pub source: &'a str,
    /// The mesh's certificate, or none for plaintext.
    pub identity: Option<&'a Identity>,
    /// Where to.
    pub to: SocketAddr,
}

impl Dial<'_> {
    /// Opens a connection that ends in the given way.
    ///
    /// # Errors
    /// No connection, or no handshake.
    pub async fn open(
        &self,
        protocol: CallerProtocol,
        end: End,
    ) -> anyhow::Result<Box<dyn Stream>> {
        in_time("wire: connect", async {
            let stream = self.tcp(end).await?;
            let Some(identity) = self.identity else {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            };
            let tls = Tls::mesh(Some(identity), protocol);
            Ok(Box::new(tls.handshake(stream).await?) as Box<dyn Stream>)
        })
        .await
    }

    /// Opens the TCP connection without TLS.
    ///
    /// # Errors
    /// No connection.
    pub async fn tcp(&self, end: End) -> anyhow::Result<TcpStream> {
        let stream = Caller::bytes(self.source).tcp(self.to).await?;
        if end == End::Reset {
            stream.set_zero_linger()?;
        }
        Ok(stream)
    }

    /// A caller of the harness with the same source and identity.
    pub fn caller(&self, protocol: CallerProtocol) -> Caller {
        let caller = Caller::new(self.source, protocol);
        match self.identity {
            None => caller,
            Some(identity) => caller.over_mesh(identity),
        }
    }
}

/// A request as text, with additional header lines, each ended by CRLF.
pub fn request(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: orders\r\n{headers}\r\n")
}

/// Writes all bytes in one call.
///
/// # Errors
/// The connection broke.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> anyhow::Result<()> {
    in_time("wire: send", async {
        stream.write_all(bytes).await?;
        Ok(stream.flush().await?)
    })
    .await
}

/// Reads this number of complete answers with status 200.
///
/// # Errors
/// The connection ended before, or a status is another.
pub async fn answers(stream: &mut (impl AsyncRead + Unpin), count: usize) -> anyhow::Result<()> {
    let came = answers_until_end(stream, count).await?;
    ensure!(came == count, "wire: ended after {came} of {count} answers");
    Ok(())
}

/// Reads at most this number of complete answers with status 200, up to an orderly close between two of them. Returns
/// the number of answers.
///
/// # Errors
/// The connection broke, ended within an answer, or a status is another.
pub async fn answers_until_end(
    stream: &mut (impl AsyncRead + Unpin),
    count: usize,
) -> anyhow::Result<usize> {
    in_time("wire: answers", async {
        let mut buffer = Vec::new();
        for answer in 0..count {
            let length = loop {
                if let Some(length) = whole_answer(&buffer)? {
                    break length;
                }
                let read = stream.read_buf(&mut buffer).await;
                let read = read.with_context(|| format!("wire: {answer} of {count} answers"))?;
                if read == 0 && buffer.is_empty() {
                    return Ok(answer);
                }
                ensure!(
                    read > 0,
                    "wire: ended within answer {answer} of {count}: {}",
                    String::from_utf8_lossy(&buffer)
                );
            };
            buffer.drain(..length);
        }
        ensure!(
            buffer.is_empty(),
            "wire: more than {count} answers: {}",
            String::from_utf8_lossy(&buffer)
        );
        Ok(count)
    })
    .await
}

/// The length of the first answer, `None` while it is incomplete.
fn whole_answer(buffer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head]).context("wire: answer: not text")?;
    if !text.starts_with("HTTP/1.1 200 ") {
        bail!("wire: answer: expected 200, got: {text}");
    }
    let body: usize = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .with_context(|| format!("wire: answer: no content-length: {text}"))?
        .parse()?;
    let length = head + 4 + body;
    Ok((buffer.len() >= length).then_some(length))
}

/// Sends some bytes and reads them back.
///
/// # Errors
/// The connection broke, or the bytes differ.
pub async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> anyhow::Result<()> {
    send(stream, b"ping\n").await?;
    in_time("wire: echo", async {
        let mut back = [0; 5];
        stream.read_exact(&mut back).await?;
        ensure!(&back == b"ping\n", "wire: echo: {back:?}");
        Ok(())
    })
    .await
}

/// Ends the sending side and waits until the other one ends too, in order or not.
///
/// # Errors
/// It does not end, or data arrives.
pub async fn finish(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> anyhow::Result<()> {
    in_time("wire: finish", async {
        let _ = stream.shutdown().await;
        let mut rest = [0; 64];
        match stream.read(&mut rest).await {
            Ok(0) | Err(_) => Ok(()),
            Ok(more) => bail!("wire: finish: {more} bytes more"),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pipelined_answers_are_counted() {
        let one = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        answers(&mut [&one[..], &one[..]].concat().as_slice(), 2)
            .await
            .unwrap();
        for count in [1, 3] {
            let twice = [&one[..], &one[..]].concat();
            assert!(answers(&mut twice.as_slice(), count).await.is_err());
        }
    }

    #[tokio::test]
    async fn another_status_is_an_error() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let error = answers(&mut &answer[..], 1).await.unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
    }
}
