//! Invariants for any bytes: one function per parser of the filter, shared by the fuzz targets and
//! `bounded.rs`.

use plainsight::{
    address::{Endpoint, block_of, parse_block},
    client_hello::{NEEDED, Opening, opening},
    label_value::push_encoded,
    peer_header,
    settings::Settings,
};

/// Any address that the filter parses, the standard library parses too.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(endpoint) = Endpoint::parse(&text) {
        let again = std::net::SocketAddr::new(endpoint.ip, endpoint.port).to_string();
        assert_eq!(Endpoint::parse(&again), Some(endpoint));
        for prefix in [0, 8, 24, 64, 128, 255] {
            assert!(block_of(endpoint.ip, prefix, prefix).contains(&endpoint.ip));
        }
    }
}

/// A block has no host bits after its prefix, and printing it reverses parsing.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = parse_block(&String::from_utf8_lossy(bytes)) {
        assert_eq!(block, block.trunc());
        assert_eq!(parse_block(&block.to_string()), Ok(block));
    }
}

/// Bytes beyond those needed do not change the result, and the parser never asks for more than needed.
pub fn client_hello(bytes: &[u8]) {
    let result = opening(bytes);
    assert!(result != Opening::TooShort || bytes.len() < NEEDED);
    for length in 0..bytes.len().min(NEEDED + 2) {
        let earlier = opening(&bytes[..length]);
        assert!(
            earlier == Opening::TooShort || earlier == result,
            "{length}"
        );
    }
    if result == Opening::ClientHello {
        assert_eq!((bytes[0], bytes[1], bytes[5]), (22, 3, 1));
    }
}

/// Any bytes give settings within bounds; input that is not a JSON object is a problem; the input bounds the problems.
pub fn configuration(bytes: &[u8]) {
    let (settings, problems) = Settings::parse(bytes);
    assert!((1..=10_000).contains(&settings.max_callers));
    assert!(settings.ipv4_prefix <= 32 && settings.ipv6_prefix <= 128);
    assert!(
        settings
            .callers
            .iter()
            .all(|caller| !caller.name.is_empty())
    );
    assert!(settings.exempt.iter().all(|entry| entry.port > 0));
    for name in settings
        .request_header
        .iter()
        .chain(&settings.response_header)
    {
        let token =
            |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
        assert!(name.starts_with("x-") && name.bytes().all(token), "{name}");
    }
    for (_, value) in &settings.response_headers {
        assert!(
            value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{value}"
        );
    }
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let empty = bytes.iter().all(u8::is_ascii_whitespace);
    let is_object = parsed.is_ok_and(|value| value.is_object() || value.is_null());
    assert!(is_object || empty || !problems.lines().is_empty());
    let longest = problems.lines().iter().map(String::len).max();
    assert!(longest.unwrap_or(0) <= 1_024, "{longest:?}");
}

/// An encoded value contains no separator, and a header value cannot close its string.
pub fn label_value(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut encoded = String::new();
    push_encoded(&mut encoded, &text);
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert!(!encoded.contains([';', ',', '=', '"', '\'', '\\']));
    let header = peer_header::for_principal(&text);
    assert!(
        header.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{header}"
    );
    let bare = header.replace("\\\\", "").replace("\\\"", "");
    let quotes = if text.is_empty() { 0 } else { 2 };
    assert_eq!(bare.matches('"').count(), quotes, "{header}");
}
