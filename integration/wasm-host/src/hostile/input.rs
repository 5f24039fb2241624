//! Generators of bytes, facts, connections and configurations, from plausible to absurd.

use crate::{Answer, Connection, Facts, Status};
use rand::{Rng, RngExt, seq::IndexedRandom};

/// Byte strings.
pub(super) struct Bytes;

/// Text that tends to break parsers, encoders and regexes.
const FRAGMENTS: [&[u8]; 30] = [
    b"spiffe://",
    b"cache.",
    b"rbac.allowed",
    b"tag.",
    b"component.",
    b"wasm_filter.",
    b".shadow_denied",
    b";.",
    b"=.=",
    b",",
    b";",
    b"\"",
    b"\\",
    b"%",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    "é".as_bytes(),
    b"10.0.0.7",
    b":0",
    b":65536",
    b"[",
    b"]",
    b"fd00::1",
    b"/ns/a/sa/b",
    b"_rq_200",
    b"{",
    b" ",
];

const USER_AGENTS: [&str; 4] = [
    "kube-probe/1.30",
    "Prometheus/3.0",
    "GoogleHC/1.0",
    "curl/8.5",
];

impl Bytes {
    /// Any bytes, mostly short, sometimes longer than every buffer.
    pub fn any(rng: &mut impl Rng) -> Vec<u8> {
        match rng.random_range(0..12) {
            0 => Vec::new(),
            1..4 => Self::random(rng, 20),
            4 => Self::random(rng, 3_000),
            5 => vec![b'a'; rng.random_range(0..70_000)],
            6 => USER_AGENTS.choose(rng).copied().unwrap_or_default().into(),
            7 => Self::address(rng),
            _ => Self::text(rng),
        }
    }

    fn random(rng: &mut impl Rng, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; rng.random_range(0..=most)];
        rng.fill_bytes(&mut bytes);
        bytes
    }

    fn text(rng: &mut impl Rng) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..rng.random_range(0..8) {
            text.extend_from_slice(FRAGMENTS.choose(rng).copied().unwrap_or_default());
        }
        text
    }

    /// A valid or almost valid address with a port.
    pub fn address(rng: &mut impl Rng) -> Vec<u8> {
        let mut address = match rng.random_range(0..4) {
            0 => format!(
                "[{:x}::{:x}]:{}",
                rng.random::<u16>(),
                rng.random::<u16>(),
                rng.random::<u16>()
            ),
            1 => format!(
                "[::ffff:10.0.0.{}]:{}",
                rng.random::<u8>(),
                rng.random::<u16>()
            ),
            2 => "@/var/run/socket".to_owned(),
            _ => format!(
                "10.0.{}.{}:{}",
                rng.random::<u8>(),
                rng.random::<u8>(),
                rng.random::<u16>()
            ),
        }
        .into_bytes();
        if rng.random_bool(0.3) && !address.is_empty() {
            let at = rng.random_range(0..address.len());
            match rng.random_range(0..3) {
                0 => address[at] = rng.random(),
                1 => address.truncate(at),
                _ => address.insert(at, rng.random()),
            }
        }
        address
    }

    /// First bytes of a connection: a ClientHello, a truncated or corrupt one, or HTTP.
    pub fn first(rng: &mut impl Rng) -> Vec<u8> {
        let mut bytes = match rng.random_range(0..4) {
            0 => b"GET / HTTP/1.1\r\n".to_vec(),
            1 => Self::random(rng, 64),
            // A TLS record with a handshake message of type ClientHello (RFC 8446, sections 4 and 5.1).
            _ => vec![
                22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8,
            ],
        };
        if rng.random_bool(0.4) {
            bytes.truncate(rng.random_range(0..=bytes.len()));
        }
        if rng.random_bool(0.3) && !bytes.is_empty() {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes
    }
}

/// Every path that the filter reads.
const PATHS: [&[&str]; 12] = [
    &["connection", "id"],
    &["connection", "mtls"],
    &["connection", "uri_san_peer_certificate"],
    &["connection", "tls_version"],
    &["connection", "requested_server_name"],
    &["connection", "transport_failure_reason"],
    &["source", "address"],
    &["destination", "address"],
    &["destination", "port"],
    &["xds", "listener_direction"],
    &["xds", "node", "metadata", "NAMESPACE"],
    &["filter_state", "io.istio.peer_principal"],
];

/// Replaces a few answers by bytes of any length or by any status, and adds some.
pub(super) fn distort(rng: &mut impl Rng, facts: &mut Facts) {
    for _ in 0..rng.random_range(1..4) {
        let path = PATHS.choose(rng).copied().unwrap_or_default();
        match rng.random_range(0..10) {
            0 => facts.remove(path),
            // Scripted answers, not interference: the sane host of `Mood::Input` returns bytes only.
            1 => facts.set(path, Answer::Refused(Status::NOT_FOUND)),
            2 => facts.set(
                path,
                Answer::Bytes(rng.random::<u64>().to_le_bytes().to_vec()),
            ),
            3 => facts.set(path, Answer::Bytes(Bytes::address(rng))),
            _ => facts.set(path, Answer::Bytes(Bytes::any(rng))),
        }
    }
}

/// A connection of any kind, as Envoy presents it.
pub(super) fn connection(rng: &mut impl Rng) -> Connection {
    let source = format!(
        "10.0.{}.{}:{}",
        rng.random_range(0..4),
        rng.random::<u8>(),
        rng.random::<u16>()
    );
    let destination = format!("10.1.0.1:{}", rng.random::<u16>());
    match rng.random_range(0..4) {
        0 => {
            let san = String::from_utf8_lossy(&Bytes::text(rng)).into_owned();
            Connection::mutual_tls(&source, &destination, &format!("spiffe://{san}/ns/a/sa/b"))
        }
        1 => Connection::tls_without_certificate(&source, &destination),
        _ => Connection::plaintext(&source, &destination),
    }
}

/// A configuration, and whether it keeps the default request header.
pub(super) struct Configuration {
    pub json: Vec<u8>,
    is_plain: bool,
}

impl Configuration {
    /// Whether the request header is the default one.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }
}

const KEYS: [&str; 11] = [
    "exempt",
    "callers",
    "ipv4Prefix",
    "ipv6Prefix",
    "maxCallers",
    "principals",
    "requestHeader",
    "responseHeader",
    "responseHeaders",
    "logCallers",
    "nosuch",
];

/// A configuration of any form: valid, with wrong types, truncated, nested, or not JSON.
pub(super) fn configuration(rng: &mut impl Rng) -> Configuration {
    let mut is_plain = true;
    let json = match rng.random_range(0..10) {
        0 => Bytes::any(rng),
        1 => {
            let (open, close) = [("[", "]"), ("{\"a\":", "}")]
                .choose(rng)
                .copied()
                .unwrap_or_default();
            let depth = rng.random_range(0..2_000);
            let closed = if rng.random_bool(0.5) {
                close.repeat(depth)
            } else {
                String::new()
            };
            format!("{{\"callers\":{}1{closed}}}", open.repeat(depth)).into_bytes()
        }
        2..4 => br#"{"principals": true, "maxCallers": 3, "ipv4Prefix": 24}"#.to_vec(),
        4 => {
            let notice = r#"{"responseHeader": "x-notice", "responseHeaders": {"deprecation": "@1767225600"}}"#;
            notice.as_bytes().to_vec()
        }
        5 => b"{}".to_vec(),
        _ => {
            let mut object = serde_json::Map::new();
            for _ in 0..rng.random_range(0..6) {
                let key = KEYS.choose(rng).copied().unwrap_or_default();
                is_plain &= key != "requestHeader";
                object.insert(key.to_owned(), value(rng, 3));
            }
            let mut bytes = serde_json::Value::Object(object).to_string().into_bytes();
            if rng.random_bool(0.2) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            bytes
        }
    };
    Configuration { json, is_plain }
}

fn value(rng: &mut impl Rng, depth: u32) -> serde_json::Value {
    use serde_json::{Value, json};
    let text = |rng: &mut _| String::from_utf8_lossy(&Bytes::any(rng)).into_owned();
    match rng.random_range(0..if depth > 0 { 11 } else { 7 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<i64>()),
        3 => json!(rng.random::<f64>() * 1e5),
        4 => json!(rng.random_range(0..200)),
        5 => json!(text(rng)),
        6 => json!(
            [
                "10.0.0.0/8",
                "fd00::/8",
                "::ffff:10.0.0.0/104",
                "x-peer",
                "Host",
                "@1767225600"
            ]
            .choose(rng)
        ),
        7 => json!([{"port": rng.random::<u16>(), "namespace": text(rng)}]),
        8 => {
            let block = format!("10.{}.0.0/{}", rng.random::<u8>(), rng.random_range(0..40));
            json!([{"cidr": block, "name": text(rng)}])
        }
        9 => Value::Array(
            (0..rng.random_range(0..40))
                .map(|_| value(rng, depth - 1))
                .collect(),
        ),
        _ => (0..rng.random_range(0..5))
            .map(|_| {
                let key = [
                    "cidr",
                    "name",
                    "port",
                    "namespace",
                    "workload",
                    "sunset",
                    "x-why",
                ]
                .choose(rng)
                .copied()
                .unwrap_or_default();
                (key.to_owned(), value(rng, depth - 1))
            })
            .collect(),
    }
}
