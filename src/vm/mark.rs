//! Marks: how a request finds its connection without a value from Envoy.
//!
//! Each value that Envoy hands over costs one more entry into the VM, for room; an empty one does not
//! (<https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/include/proxy-wasm/wasm.h>, `copyToPointerSize`).
//! So a connection with a second read gets an empty property, named after it, in its filter state, where every request
//! on it finds it and no peer can set it. A request asks for the mark of the connection whose data came
//! last: there, it is a fact that the request came on that connection; not there, `connection.id` tells, as it
//! does for pipelined requests and behind filters that make requests wait.

use super::Vm;
use crate::connections::Mark;
use crate::host::Host;

/// Whether this VM marks connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Marking {
    /// None so far.
    #[default]
    Unnamed,
    /// Under a name that no other VM of the thread has: the nanosecond of its first mark. Two VMs can run side by
    /// side there, while one version replaces another, with contexts of the same numbers.
    Named(u64),
    /// The host does not take them, or does not keep them.
    Refused,
}

impl<H: Host> Vm<H> {
    /// Marks the connection whose data is there.
    pub(super) fn mark(&mut self, context: u32) {
        let mark = match self.mark_name(context) {
            Some(name) => {
                let outcome = self.access.host.set_property(&name, &[]);
                match self.access.granted("mark a connection", outcome) {
                    Some(()) => Mark::Set(name),
                    None => {
                        self.marking = Marking::Refused;
                        Mark::None
                    }
                }
            }
            None => Mark::None,
        };
        if let Some(connection) = self.connections.open(context) {
            connection.mark = mark;
        }
    }

    /// A connection was found by its id and not by the mark that it should have: this host does not keep marks, and no
    /// more are tried.
    pub(super) fn marks_are_lost(&mut self) {
        self.marking = Marking::Refused;
        self.connections.unmark();
    }

    fn mark_name(&mut self, context: u32) -> Option<Box<str>> {
        if self.marking == Marking::Unnamed {
            let now = self.access.host.now();
            self.marking = match self.access.granted("the time", now) {
                Some(now) => Marking::Named(now),
                None => Marking::Refused,
            };
        }
        match self.marking {
            Marking::Named(vm) => Some(name(vm, context)),
            Marking::Unnamed | Marking::Refused => None,
        }
    }
}

/// A property's name, of one element.
fn name(vm: u64, context: u32) -> Box<str> {
    let mut name = String::from("plainsight/");
    push_hex(&mut name, vm);
    name.push('/');
    push_hex(&mut name, context.into());
    name.into()
}

fn push_hex(into: &mut String, number: u64) {
    for shift in (0..u64::BITS).step_by(4).rev() {
        let left = number >> shift;
        if left > 0 || shift == 0 {
            into.extend(
                u32::try_from(left & 15)
                    .ok()
                    .and_then(|digit| char::from_digit(digit, 16)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_vms_and_contexts_apart() {
        assert_eq!(&*name(0x12_ab, 7), "plainsight/12ab/7");
        assert_eq!(
            &*name(u64::MAX, u32::MAX),
            "plainsight/ffffffffffffffff/ffffffff"
        );
        assert_eq!(&*name(0, 0), "plainsight/0/0");
        assert_ne!(name(1, 0x11), name(0x11, 1));
    }
}
