//! One request to the admin interface.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::eventually::in_time;

/// The response body.
///
/// # Errors
/// No connection, or a status other than 200.
pub(super) async fn request(method: &str, admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    in_time("admin", async {
        let stream = TcpStream::connect(admin)
            .await
            .with_context(|| format!("admin: {admin}: no connection"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        let body = String::from_utf8_lossy(&body).into_owned();
        ensure!(status == 200, "admin: {path}: status {status}: {body}");
        Ok(body)
    })
    .await
}
