//! What must hold for any bytes: one function for each parser of the filter, shared by the fuzz targets and by
//! `wasm-host/tests/parsers.rs`.

use plainsight::{
    address::{Cidr, Endpoint},
    client_hello::{NEEDED, Opening, opening},
    date,
    label_value::push_safe,
    metrics::{Label, LabelForm, Metric},
    peer::{Peer, Strict},
    peer_header,
    settings::Settings,
};

/// What the filter takes for an address is one that the standard library reads too.
pub fn address(bytes: &[u8]) {
    if let Some(endpoint) = Endpoint::parse(bytes) {
        let text = std::str::from_utf8(bytes).expect("an address is text");
        let (_, port) = text.rsplit_once(':').expect("an address has a port");
        assert_eq!(port.parse(), Ok(endpoint.port));
        let again = std::net::SocketAddr::new(endpoint.ip, endpoint.port).to_string();
        assert_eq!(Endpoint::parse(again.as_bytes()), Some(endpoint));
        for prefix in [0, 8, 24, 64, 128, 255] {
            assert!(Cidr::around(endpoint.ip, prefix).contains(endpoint.ip));
        }
    }
}

/// A block comes out as it went in, and holds its own first address.
pub fn cidr(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(block) = Cidr::parse(&text) {
        let written = block.to_string();
        assert_eq!(Cidr::parse(&written), Some(block));
        let first = written.split('/').next().unwrap_or_default();
        assert!(block.contains(first.parse().expect("a block begins with an address")));
    }
}

/// The verdict on the first bytes never changes with the bytes behind them, nor does it wait for more than it needs.
pub fn client_hello(bytes: &[u8]) {
    let verdict = opening(bytes);
    assert!(verdict != Opening::TooShort || bytes.len() < NEEDED);
    for length in 0..bytes.len().min(NEEDED + 2) {
        let earlier = opening(&bytes[..length]);
        assert!(
            earlier == Opening::TooShort || earlier == verdict,
            "{length}"
        );
    }
    if verdict == Opening::ClientHello {
        assert_eq!((bytes[0], bytes[1], bytes[5]), (22, 3, 1));
    }
}

/// Any bytes are settings within their bounds; what is not JSON is a problem; what is said has an end.
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
    assert!(settings.exempt_ports.iter().all(|port| *port > 0));
    for name in settings
        .request_header
        .iter()
        .chain(&settings.response_header)
    {
        let token =
            |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b':';
        assert!(!name.is_empty() && name.bytes().all(token), "{name}");
    }
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    if parsed.is_err() && !blank {
        assert!(!problems.is_empty());
    }
    if parsed.is_ok_and(|value| !value.is_object() && !value.is_null()) {
        assert!(!problems.is_empty());
    }
    assert!(problems.len() <= 1_000 && problems.iter().map(String::len).sum::<usize>() <= 1 << 20);
}

/// A date that is read is written as HTTP writes it.
pub fn date(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(written) = date::parse_rfc3339(&text).and_then(date::imf_fixdate) {
        assert_eq!(written.len(), 29, "{written}");
        assert!(written.ends_with(" GMT") && written.is_ascii());
    }
}

/// A value that went through the encoder holds no separator, in both label forms and in the header.
pub fn label_value(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::new();
    push_safe(&mut safe, &text);
    assert!(safe.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert!(!safe.contains([';', ',', '=', '"', '\'', '\\']));
    for form in [LabelForm::Stock, LabelForm::Native] {
        let mut name = String::new();
        form.push(&mut name, Label::SourceName, &text);
        form.push(&mut name, Label::Peer, "plaintext");
        form.finish(&mut name, Metric::Connections);
        let labels = usize::from(!text.is_empty()) + 1;
        assert_eq!(
            name.matches('=').count(),
            labels * if form == LabelForm::Stock { 1 } else { 2 }
        );
        assert!(name.ends_with("plainsight_connections_total"));
    }
    for header in [
        peer_header::for_principal(&text),
        peer_header::for_caller(Peer::Plaintext, Strict::Reject, &text),
    ] {
        assert!(
            header.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{header}"
        );
        let bare = header.replace("\\\\", "").replace("\\\"", "");
        assert_eq!(
            bare.matches('"').count(),
            if text.is_empty() { 0 } else { 2 }
        );
    }
}
