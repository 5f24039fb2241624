//! How a request finds its connection: by properties that the NETWORK context sets on the connection, which
//! every request on it can read and no peer can set.
//!
//! - The link, on every classified connection, holds the number of its context. It is always right, but Envoy
//!   enters the VM once more for every value that it returns, to allocate room.
//! - The mark, on connections with a second request, is empty, and its name holds the number. A request
//!   asks for the mark of the connection whose data came last. If it has that mark, this is its connection. If not,
//!   as with pipelining or behind a filter that delays requests, the link answers.
//!
//! Source: <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/include/proxy-wasm/wasm.h>, `copyToPointerSize`.

use crate::access::Access;
use crate::attribute::Attribute;
use crate::host::Host;

/// What a connection has set of its link and mark.
#[derive(Debug, Default)]
pub struct ConnectionLink {
    /// A request found the connection by its link, so a mark pays off.
    pub wants_mark: bool,
    mark: Option<String>,
}

impl ConnectionLink {
    /// The property's name, if it is set.
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Sets the mark of the connection at hand, if it wants one.
    pub fn update<H: Host>(&mut self, access: &mut Access<H>, vm: Option<u64>, context: u32) {
        if self.wants_mark && self.mark.is_none() {
            self.wants_mark = false;
            if let Some(vm) = vm {
                let name = format!("plainsight/{vm:x}/{context:x}");
                if access.set_connection_property(&name, &[]) {
                    self.mark = Some(name);
                }
            }
        }
    }
}

/// Sets the link of the connection at hand. `vm` distinguishes VMs that one connection may see one after the
/// other, because each has contexts with the same numbers.
pub fn set<H: Host>(access: &mut Access<H>, vm: Option<u64>, context: u32) {
    if let Some(vm) = vm {
        let mut value = [0; 12];
        let (head, tail) = value.split_at_mut(8);
        head.copy_from_slice(&vm.to_le_bytes());
        tail.copy_from_slice(&context.to_le_bytes());
        access.set_connection_property(Attribute::CONNECTION_LINK.path, &value);
    }
}

/// The context of the connection that the request at hand came on. `None` if this VM did not classify it.
pub fn get<H: Host>(access: &mut Access<H>, vm: Option<u64>) -> Option<u32> {
    if !access.read(Attribute::CONNECTION_LINK).ok()? {
        return None;
    }
    let (head, tail) = access.bytes.split_at_checked(8)?;
    let owner = u64::from_le_bytes(head.try_into().ok()?);
    let context = u32::from_le_bytes(tail.try_into().ok()?);
    (Some(owner) == vm).then_some(context)
}
