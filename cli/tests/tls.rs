//! Prometheus behind TLS with a private authority, a token, a tenant and a path prefix, as Mimir's gateway has them.

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use common::{Answer, Prometheus, mesh, plainsight, response};
use plainsight_harness::pki::{Authority, Identity};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A gateway that ends TLS in front of a real Prometheus: one tenant, one token, the API under `/prometheus`.
struct Gateway {
    url: String,
    _prometheus: Prometheus,
}

impl Gateway {
    fn start(identity: &Identity) -> Gateway {
        let prometheus = Prometheus::with(&mesh::example().openmetrics());
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(identity.chain(), identity.key())
                .unwrap();
        let (config, upstream) = (Arc::new(config), prometheus.url.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, upstream) = (config.clone(), upstream.clone());
                std::thread::spawn(move || serve(stream, config, &upstream));
            }
        });
        Gateway {
            url,
            _prometheus: prometheus,
        }
    }
}

/// One request: its handshake may fail, as one with a foreign authority does.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, upstream: &str) {
    let connection = ServerConnection::new(config).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let lower = head.to_lowercase();
    let answer = if !lower.contains("authorization: bearer let-me-in\r\n") {
        response("401 Unauthorized", "text/plain", "no token")
    } else if !lower.contains("x-scope-orgid: shop\r\n") {
        response("401 Unauthorized", "text/plain", "no org id")
    } else if let Some(path) = path.strip_prefix("/prometheus") {
        let mut reply = ureq::get(format!("{upstream}{path}")).call().unwrap();
        let body = reply.body_mut().read_to_string().unwrap();
        response("200 OK", "application/json", &body)
    } else {
        response("404 Not Found", "text/plain", "404 page not found")
    };
    let stream = reader.get_mut();
    let _ = stream.write_all(answer.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// One sentence on standard error, exit code 1, nothing on standard output.
fn is_error(answer: &Answer, parts: &[&str]) {
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (1, ""),
        "{}",
        answer.err
    );
    assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    for part in parts {
        assert!(answer.err.contains(part), "{part} in {}", answer.err);
    }
}

#[test]
fn a_private_authority_a_token_a_tenant_and_a_prefix_lead_to_prometheus() {
    let authority = Authority::new("company").unwrap();
    let gateway = Gateway::start(&authority.without_uri().unwrap());
    let (own, foreign) = (
        file(authority.pem()),
        file(Authority::new("company").unwrap().pem()),
    );
    let (token, wrong) = (file("let-me-in\n"), file("let-me-out\n"));
    let prefixed = format!("{}/prometheus", gateway.url);
    let ask = |url: &str, ca: Option<&str>, token: &str, tenant: Option<&str>| {
        let mut arguments = vec!["report", "-n", "shop", "--prometheus", url];
        arguments.extend(["--bearer-token-file", token]);
        arguments.extend(ca.into_iter().flat_map(|ca| ["--ca-file", ca]));
        arguments.extend(tenant.into_iter().flat_map(|tenant| ["--header", tenant]));
        plainsight(&arguments)
    };
    let (ca, tenant) = (Some(path(&own)), Some("X-Scope-OrgID: shop"));

    for url in [
        prefixed.clone(),
        format!("{prefixed}/"),
        format!("{prefixed}/api/v1"),
    ] {
        let good = ask(&url, ca, path(&token), tenant);
        assert_eq!(good.code, 0, "{url}: {}{}", good.out, good.err);
        assert!(good.out.contains("14 of 14 pods report"), "{}", good.out);
    }
    // The same name, another key; and the public authorities.
    let hint = "give the certificate of its authority with --ca-file";
    is_error(
        &ask(&prefixed, Some(path(&foreign)), path(&token), tenant),
        &["BadSignature", hint],
    );
    is_error(
        &ask(&prefixed, None, path(&token), tenant),
        &["UnknownIssuer", hint],
    );
    // A certificate for another name.
    let other = Gateway::start(
        &authority
            .spiffe("spiffe://cluster.local/ns/a/sa/b")
            .unwrap(),
    );
    is_error(
        &ask(&other.url, ca, path(&token), tenant),
        &["certificate not valid for name"],
    );
    is_error(
        &ask(&prefixed, ca, path(&wrong), tenant),
        &["401 Unauthorized", "no token"],
    );
    is_error(
        &ask(&prefixed, ca, path(&token), None),
        &["401 Unauthorized", "no org id"],
    );
    is_error(
        &ask(&gateway.url, ca, path(&token), tenant),
        &["404 Not Found", "URL before /api/v1"],
    );
    is_error(
        &ask(
            &prefixed.replace("https", "http"),
            None,
            path(&token),
            tenant,
        ),
        &["http://127.0.0.1"],
    );
}
