//! Detects a TLS ClientHello by its first bytes. Pure.

/// The number of bytes needed to decide: the record header (5) and the handshake type.
pub const NEEDED: usize = 6;

/// The protocol of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A TLS ClientHello.
    ClientHello,
    /// Something else.
    Other,
    /// Possibly the start of a ClientHello; more bytes are needed.
    TooShort,
}

/// Classifies the first bytes of a connection.
///
/// A ClientHello begins with a TLSPlaintext record of type handshake (22), major version 3, a length from 4 (a
/// handshake header) to about 2^14, and handshake type client_hello (1): RFC 8446, sections 4 and 5.1.
pub fn opening(first: &[u8]) -> Opening {
    let mut bytes = first.iter().copied();
    let checks: [fn(u8) -> bool; NEEDED] = [
        |kind| kind == 22,
        |major| major == 3,
        |minor| minor <= 4,
        |length_high| length_high <= 0x40,
        |_length_low| true,
        |handshake| handshake == 1,
    ];
    for check in checks {
        match bytes.next() {
            None => return Opening::TooShort,
            Some(byte) if check(byte) => {}
            Some(_) => return Opening::Other,
        }
    }
    match first.get(3..5) {
        Some([0, 0..=3]) => Opening::Other,
        _ => Opening::ClientHello,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_hello_has_its_record_and_handshake_type() {
        assert_eq!(opening(&[22, 3, 1, 2, 0, 1, 0]), Opening::ClientHello);
        assert_eq!(opening(&[22, 3, 3, 0x40, 0, 1]), Opening::ClientHello);
    }

    #[test]
    fn other_records_and_other_protocols_are_not_a_client_hello() {
        assert_eq!(opening(b"GET / HTTP/1.1"), Opening::Other);
        assert_eq!(opening(b"PRI * HTTP/2.0"), Opening::Other);
        assert_eq!(
            opening(&[22, 3, 1, 2, 0, 2]),
            Opening::Other,
            "a ServerHello"
        );
        assert_eq!(
            opening(&[23, 3, 3, 0, 9, 1]),
            Opening::Other,
            "application data"
        );
        assert_eq!(
            opening(&[22, 3, 1, 0, 0, 1]),
            Opening::Other,
            "an empty record"
        );
        assert_eq!(
            opening(&[22, 3, 1, 0xff, 0, 1]),
            Opening::Other,
            "an oversized record"
        );
        assert_eq!(
            opening(&[22, 3, 9, 0, 200, 1]),
            Opening::Other,
            "an unknown version"
        );
    }

    #[test]
    fn the_first_byte_that_differs_decides() {
        for length in 0..NEEDED {
            assert_eq!(opening(&[22, 3, 1, 2, 0, 1][..length]), Opening::TooShort);
        }
        assert_eq!(opening(b"G"), Opening::Other);
        assert_eq!(opening(&[22, 9]), Opening::Other);
    }
}
