//! Peers that were met before: what follows from where a connection came from is worked out once. Pure.
//!
//! Labels, names and header of a peer are some ten thousand instructions, and most connections are of a peer
//! that had one before.

use crate::caller::Source;
use crate::hashing::Map;
use crate::peer::Peer;
use crate::series::SeriesId;

/// So many peers are kept, then all are forgotten and worked out anew when they come again.
const MOST: usize = 1_024;

/// Longer headers, which are those of extraordinary SPIFFE ids, are not kept: this bounds the memory, too.
const MOST_HEADER: usize = 512;

/// All that a peer's series and header depend on, the settings of the root context aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A peer without mutual TLS.
    Caller {
        /// The root context with whose settings it is read.
        root: u32,
        /// How it came.
        peer: Peer,
        /// Who it is.
        source: Source,
        /// The port it came to.
        port: Option<u16>,
    },
    /// A peer with mutual TLS.
    MutualTls {
        /// The root context with whose settings it is read.
        root: u32,
        /// Its SPIFFE id; empty when there is none.
        principal: String,
        /// The port it came to.
        port: Option<u16>,
    },
}

/// What followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// Where the peer counts.
    pub series: SeriesId,
    /// The header's value: a copy, so that the one in use goes with the last connection.
    pub header: Box<str>,
    /// Whether STRICT would turn the peer away.
    pub rejected: bool,
}

/// The peers that were met.
#[derive(Debug, Default)]
pub struct Known {
    peers: Map<Key, Acquaintance>,
}

impl Known {
    /// A peer that was met.
    pub fn find(&self, key: &Key) -> Option<&Acquaintance> {
        self.peers.get(key)
    }

    /// A peer was met.
    pub fn meet(&mut self, key: Key, peer: Acquaintance) {
        if peer.header.len() > MOST_HEADER {
            return;
        }
        if self.peers.len() >= MOST {
            self.peers.clear();
        }
        self.peers.insert(key, peer);
    }

    /// Settings changed: nothing is known any more.
    pub fn forget(&mut self) {
        self.peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LabelForm;
    use crate::series::{SeriesBook, Subject};

    fn key(root: u32) -> Key {
        Key::MutualTls {
            root,
            principal: "spiffe://a/b".into(),
            port: Some(80),
        }
    }

    fn acquaintance() -> Acquaintance {
        let mut book = SeriesBook::default();
        Acquaintance {
            series: book.add("l", LabelForm::Stock, Subject::MutualTls, "", false),
            header: "h".into(),
            rejected: false,
        }
    }

    #[test]
    fn a_peer_is_known_by_all_that_it_depends_on() {
        let mut known = Known::default();
        known.meet(key(1), acquaintance());
        assert_eq!(known.find(&key(1)), Some(&acquaintance()));
        assert_eq!(known.find(&key(2)), None);
        let caller = |peer, port| Key::Caller {
            root: 1,
            peer,
            source: Source::Unknown,
            port,
        };
        known.meet(caller(Peer::Plaintext, None), acquaintance());
        assert!(known.find(&caller(Peer::Plaintext, None)).is_some());
        assert!(known.find(&caller(Peer::TlsPassthrough, None)).is_none());
        assert!(known.find(&caller(Peer::Plaintext, Some(0))).is_none());
        known.forget();
        assert_eq!(known.find(&key(1)), None);
    }

    #[test]
    fn peers_with_extraordinary_names_are_not_kept() {
        let mut known = Known::default();
        let peer = |length| Acquaintance {
            header: "h".repeat(length).into(),
            ..acquaintance()
        };
        known.meet(key(1), peer(512));
        known.meet(key(2), peer(513));
        assert!(known.find(&key(1)).is_some());
        assert!(known.find(&key(2)).is_none());
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut known = Known::default();
        for root in 0..10_000 {
            known.meet(key(root), acquaintance());
            assert!(known.peers.len() <= MOST);
        }
        assert!(known.find(&key(9_999)).is_some());
    }
}
