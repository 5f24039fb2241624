//! The registry of open connections of one worker: what is known of each, by context and by id.
//!
//! A connection lives on one worker, so no lock is needed. Knows nothing of the host or of metrics.

use crate::client_hello::NEEDED;
use crate::hashing::{Map, Set};
use crate::series::SeriesId;
use std::rc::Rc;

/// Without the NETWORK plugin nothing tells that a connection ended: so many are kept, then all are
/// forgotten and read anew when they speak again.
const MOST_REMEMBERED: usize = 4096;

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On an outbound listener: none of our business.
    Outbound,
    /// Nothing is known: a host error, counted already. Not plaintext, not mutual TLS.
    Unreadable,
    /// A peer with its series and its header.
    Peer {
        /// Where it counts.
        series: SeriesId,
        /// The header's value.
        header: Rc<str>,
        /// Whether STRICT would turn it away.
        rejected: bool,
        /// Whether it came by mutual TLS.
        mutual_tls: bool,
    },
}

/// A connection seen by the NETWORK plugin.
#[derive(Debug)]
pub enum Stage {
    /// No verdict yet; so many first bytes looked like a ClientHello.
    Waiting([u8; NEEDED], u8),
    /// Decided, and found by its id when that could be read.
    Decided(Registered, Option<u64>),
}

/// A connection and the root context whose settings it is read with.
#[derive(Debug)]
pub struct Connection {
    /// Its root context.
    pub root: u32,
    /// How far it is.
    pub stage: Stage,
    /// How its requests find it.
    pub mark: Mark,
}

/// The property of a connection that its requests find it by.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// It has none: it carried no request so far, or marks are not kept.
    None,
    /// A request came: the next read is to set one.
    Wanted,
    /// It has one of this name.
    Set(Box<str>),
}

/// Whose claims were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Claims {
    /// Nobody's.
    #[default]
    Unasked,
    /// The connection's, on the NETWORK plugin's behalf.
    OfConnection,
    /// Those of its first request, which hold the connection's too.
    OfRequest,
}

/// A verdict, and what was asked since.
#[derive(Debug)]
pub struct Registered {
    /// What is known.
    pub verdict: Verdict,
    /// Claims are asked for once by each plugin.
    pub claims: Claims,
}

impl Registered {
    fn new(verdict: Verdict) -> Registered {
        Registered {
            verdict,
            claims: Claims::Unasked,
        }
    }
}

/// All connections of this worker.
#[derive(Debug, Default)]
pub struct Connections {
    open: Map<u32, Connection>,
    by_id: Map<u64, u32>,
    /// The context whose data came last.
    latest: Option<u32>,
    /// Verdicts of the HTTP plugin's own, for connections that no NETWORK plugin announced.
    remembered: Map<u64, Registered>,
    /// Header values in use, so that ten thousand connections of one caller hold one text.
    headers: Set<Rc<str>>,
}

impl Connections {
    /// A connection was accepted.
    pub fn opened(&mut self, context: u32, root: u32) {
        let connection = Connection {
            root,
            stage: Stage::Waiting([0; NEEDED], 0),
            mark: Mark::None,
        };
        self.open.insert(context, connection);
    }

    /// An open connection whose data is there.
    pub fn heard(&mut self, context: u32) -> Option<&mut Connection> {
        self.latest = Some(context);
        self.open.get_mut(&context)
    }

    /// The connection whose data came last, if it is open still.
    pub fn latest(&mut self) -> Option<(u32, &mut Connection)> {
        let context = self.latest?;
        Some((context, self.open.get_mut(&context)?))
    }

    /// The context of the connection of that id, where the NETWORK plugin announced one.
    pub fn announced(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Forgets all marks.
    pub fn unmark(&mut self) {
        for connection in self.open.values_mut() {
            connection.mark = Mark::None;
        }
    }

    /// An open connection.
    pub fn open(&mut self, context: u32) -> Option<&mut Connection> {
        self.open.get_mut(&context)
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// The verdict on a connection is known.
    pub fn decided(&mut self, context: u32, verdict: Verdict, id: Option<u64>) {
        if let Some(connection) = self.open.get_mut(&context) {
            if let (Some(id), false) = (id, verdict == Verdict::Outbound) {
                self.by_id.insert(id, context);
                // The HTTP plugin may have met the id before this plugin was installed.
                self.remembered.remove(&id);
            }
            connection.stage = Stage::Decided(Registered::new(verdict), id);
        }
    }

    /// A connection ended: gives what it was, and forgets it.
    pub fn closed(&mut self, context: u32) -> Option<Connection> {
        let connection = self.open.remove(&context)?;
        if let Stage::Decided(_, Some(id)) = connection.stage {
            self.by_id.remove(&id);
        }
        Some(connection)
    }

    /// The header of a closed connection is no longer needed by it.
    pub fn release(&mut self, header: &Rc<str>) {
        // One owner is the caller of this, one is the set.
        if Rc::strong_count(header) <= 2 {
            self.headers.remove(header);
        }
    }

    /// Remembers a verdict that the HTTP plugin came to by itself.
    pub fn remember(&mut self, id: u64, verdict: Verdict) {
        if self.remembered.len() >= MOST_REMEMBERED {
            self.remembered.clear();
            self.headers.retain(|header| Rc::strong_count(header) > 1);
        }
        self.remembered.insert(id, Registered::new(verdict));
    }

    /// What is known of the connection of that id, on which there is a request. True: by the NETWORK plugin.
    pub fn find(&mut self, id: u64) -> Option<(&mut Registered, bool)> {
        let announced = self.by_id.get(&id).and_then(|at| self.open.get_mut(at));
        if let Some(connection) = announced
            && let Stage::Decided(registered, _) = &mut connection.stage
        {
            if connection.mark == Mark::None {
                connection.mark = Mark::Wanted;
            }
            return Some((registered, true));
        }
        Some((self.remembered.get_mut(&id)?, false))
    }

    /// The one copy of a header's value.
    pub fn header(&mut self, value: &str) -> Rc<str> {
        if let Some(header) = self.headers.get(value) {
            return Rc::clone(header);
        }
        let header: Rc<str> = value.into();
        self.headers.insert(Rc::clone(&header));
        header
    }

    /// Lets go of header values that outlived their connections, as those of responses that never came do.
    pub fn sweep(&mut self) {
        if self.headers.len() > self.open.len().saturating_add(self.remembered.len()) {
            self.headers.retain(|header| Rc::strong_count(header) > 1);
        }
    }

    /// How many header values are held.
    pub fn headers_held(&self) -> usize {
        self.headers.len()
    }
}

/// Contexts that were created and whose first callback has not come: it tells their role.
///
/// Envoy creates a context right before its first callback
/// (<https://github.com/envoyproxy/envoy/blob/main/source/extensions/common/wasm/context.cc>,
/// `decodeHeaders`, `onNewConnection`), so there is one at a time; the bound is for other hosts.
#[derive(Debug, Default)]
pub struct Newborn {
    roots: Vec<(u32, u32)>,
}

impl Newborn {
    const MOST: usize = 256;

    /// A context was created.
    pub fn born(&mut self, context: u32, root: u32) {
        if self.roots.len() >= Newborn::MOST {
            self.roots.remove(0);
        }
        self.roots.push((context, root));
    }

    /// The context's first callback: gives its root.
    pub fn take(&mut self, context: u32) -> Option<u32> {
        let at = self.roots.iter().rposition(|(born, _)| *born == context)?;
        Some(self.roots.swap_remove(at).1)
    }
}

/// Streams that wait for their response headers, with their roots; only where a response header is configured.
#[derive(Debug, Default)]
pub struct Awaiting {
    streams: Map<u32, (u32, Rc<str>)>,
}

impl Awaiting {
    /// More streams than that wait for nothing: their responses never came.
    const MOST: usize = 8192;

    /// A stream's response is to carry the header.
    pub fn expect(&mut self, context: u32, root: u32, header: Rc<str>) {
        if self.streams.len() >= Awaiting::MOST {
            // Contexts are numbered upwards: those below the mean are the older ones.
            let sum: u64 = self.streams.keys().map(|&context| u64::from(context)).sum();
            let streams = u64::try_from(self.streams.len()).unwrap_or(u64::MAX);
            let mean = sum.checked_div(streams).unwrap_or(0);
            self.streams.retain(|&context, _| u64::from(context) > mean);
        }
        // A number that comes again, after a stream without a response, is another stream.
        self.streams.insert(context, (root, header));
    }

    /// The response's headers are there.
    pub fn take(&mut self, context: u32) -> Option<(u32, Rc<str>)> {
        if self.streams.is_empty() {
            return None;
        }
        self.streams.remove(&context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_0_is_an_id() {
        let mut connections = Connections::default();
        connections.opened(7, 1);
        connections.decided(7, Verdict::Unreadable, Some(0));
        assert!(connections.find(0).is_some());
        assert!(connections.closed(7).is_some());
        assert!(connections.find(0).is_none());
        assert!(connections.closed(7).is_none(), "a second close is nothing");
    }

    #[test]
    fn outbound_connections_are_not_registered() {
        let mut connections = Connections::default();
        connections.opened(7, 1);
        connections.decided(7, Verdict::Outbound, Some(3));
        assert!(connections.find(3).is_none());
    }

    #[test]
    fn one_header_serves_all_connections_of_a_caller_and_goes_with_the_last() {
        let mut connections = Connections::default();
        let (first, second) = (connections.header("x"), connections.header("x"));
        assert!(Rc::ptr_eq(&first, &second));
        connections.release(&second);
        drop(second);
        assert_eq!(connections.headers_held(), 1);
        connections.release(&first);
        assert_eq!(connections.headers_held(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut connections = Connections::default();
        for id in 0..10_000 {
            connections.remember(id, Verdict::Outbound);
            assert!(connections.remembered.len() <= MOST_REMEMBERED);
        }
        assert!(connections.find(9_999).is_some());
    }

    #[test]
    fn newborn_contexts_are_found_in_any_order_and_bounded() {
        let mut newborn = Newborn::default();
        for context in 0..1_000 {
            newborn.born(context, context + 1);
        }
        assert_eq!(newborn.take(999), Some(1_000));
        assert_eq!(newborn.take(998), Some(999));
        assert_eq!(newborn.take(999), None);
        assert_eq!(newborn.take(0), None);
    }

    #[test]
    fn a_context_number_that_comes_again_is_another_stream() {
        let mut awaiting = Awaiting::default();
        awaiting.expect(7, 1, "former".into());
        awaiting.expect(7, 2, "latter".into());
        assert_eq!(awaiting.take(7), Some((2, "latter".into())));
    }

    #[test]
    fn streams_whose_response_never_came_are_forgotten_oldest_first() {
        let mut awaiting = Awaiting::default();
        for context in 0..20_000 {
            awaiting.expect(context, 1, "h".into());
            assert!(awaiting.streams.len() <= Awaiting::MOST);
        }
        assert!(awaiting.take(19_999).is_some());
        assert!(awaiting.take(0).is_none());
    }
}
