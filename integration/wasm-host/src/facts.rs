//! Scripted connections and requests: the properties and headers that the module may read.
//!
//! Property encodings are Envoy's: strings as raw bytes, numbers little-endian, booleans one byte.
//! <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/extensions/common/wasm/context.cc> (`serializeValue`).

use crate::Status;
use std::collections::BTreeMap;

/// The host's answer to a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Status Ok and these bytes; no bytes means an empty value, not an absent one.
    Bytes(Vec<u8>),
    /// Another status.
    Refused(Status),
}

/// Properties by path; a missing path is answered with [`Status::NOT_FOUND`].
#[derive(Clone, Debug, Default)]
pub struct Facts {
    answers: BTreeMap<Vec<u8>, Answer>,
}

/// A path in ABI form: the elements, separated by NUL.
fn wire(path: &[&str]) -> Vec<u8> {
    path.join("\0").into_bytes()
}

impl Facts {
    /// The same facts with `path` answered by `bytes`.
    pub fn with(mut self, path: &[&str], bytes: impl Into<Vec<u8>>) -> Self {
        self.set(path, Answer::Bytes(bytes.into()));
        self
    }

    /// Answers `path` with `answer` from now on.
    pub fn set(&mut self, path: &[&str], answer: Answer) {
        self.answers.insert(wire(path), answer);
    }

    /// Makes `path` absent.
    pub fn remove(&mut self, path: &[&str]) {
        self.answers.remove(&wire(path));
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Answer> {
        self.answers.get(path)
    }

    /// Adds the answers of `others`, which take precedence.
    pub fn extend(&mut self, others: &Self) {
        for (path, answer) in &others.answers {
            self.answers.insert(path.clone(), answer.clone());
        }
    }

    /// The paths that have an answer, in ABI form.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.answers.keys().map(Vec::as_slice)
    }

    /// Sets the answer to a path in ABI form.
    pub fn set_wire(&mut self, path: &[u8], answer: Answer) {
        self.answers.insert(path.to_vec(), answer);
    }
}

impl Facts {
    /// The node metadata of a workload's sidecar; readable at configure time too.
    pub fn node(workload: &str, namespace: &str) -> Self {
        Self::default()
            .with(&["xds", "node", "metadata", "WORKLOAD_NAME"], workload)
            .with(&["xds", "node", "metadata", "NAMESPACE"], namespace)
    }

    /// The direction of a listener, readable in streams only: 1 is inbound, 2 is outbound.
    pub fn listener(direction: i64) -> Self {
        Self::default().with(&["xds", "listener_direction"], direction.to_le_bytes())
    }
}

/// An inbound connection as Envoy presents it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Facts from the start: addresses, and all facts of a plaintext peer.
    pub facts: Facts,
    /// Facts after the handshake, that is from the first data on: before that every peer looks like plaintext.
    pub after_handshake: Facts,
}

impl Connection {
    /// A peer without TLS. `source` and `destination` are `ip:port` or `[ip]:port`.
    pub fn plaintext(source: &str, destination: &str) -> Self {
        let port: i64 = destination
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or_default();
        let facts = Facts::default()
            .with(&["connection", "mtls"], [0])
            .with(&["source", "address"], source)
            .with(&["destination", "address"], destination)
            .with(&["destination", "port"], port.to_le_bytes());
        Self {
            facts,
            after_handshake: Facts::default(),
        }
    }

    /// A peer with a verified client certificate that contains `san`.
    pub fn mutual_tls(source: &str, destination: &str, san: &str) -> Self {
        let mut connection = Self::plaintext(source, destination);
        connection.after_handshake = Facts::default()
            .with(&["connection", "mtls"], [1])
            .with(&["connection", "tls_version"], "TLSv1.3")
            .with(&["connection", "uri_san_peer_certificate"], san);
        connection
    }

    /// A peer whose TLS is terminated here, without a client certificate.
    pub fn tls_without_certificate(source: &str, destination: &str) -> Self {
        let mut connection = Self::plaintext(source, destination);
        connection.after_handshake =
            Facts::default().with(&["connection", "tls_version"], "TLSv1.3");
        connection
    }

    /// The same connection with one more fact from the start.
    pub fn with(mut self, path: &[&str], bytes: impl Into<Vec<u8>>) -> Self {
        self.facts = self.facts.with(path, bytes);
        self
    }

    /// The same connection with one scripted answer, before and after the handshake.
    pub fn answering(mut self, path: &[&str], answer: Answer) -> Self {
        self.facts.set(path, answer.clone());
        self.after_handshake.set(path, answer);
        self
    }
}

/// Headers in order, names in lower case, as Envoy keeps them.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A request on a connection.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Facts that differ from the connection's, for example `source.address` taken from `X-Forwarded-For`.
    pub facts: Facts,
    /// The request headers.
    pub headers: Headers,
}

impl Request {
    /// `GET /` over HTTP/1.1 with this User-Agent.
    pub fn get(user_agent: &str) -> Self {
        Self::default()
            .with(&["request", "protocol"], "HTTP/1.1")
            .header(":method", "GET")
            .header(":path", "/")
            .header("user-agent", user_agent)
    }

    /// The same request with one more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = name.to_ascii_lowercase().into_bytes();
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    /// The same request with one additional fact.
    pub fn with(mut self, path: &[&str], bytes: impl Into<Vec<u8>>) -> Self {
        self.facts = self.facts.with(path, bytes);
        self
    }
}
