//! How a request finds its connection: the NETWORK context sets properties on the connection, which every request
//! on it can read and no peer can set.
//!
//! - The link, on every classified connection, holds the number of its context. It is always correct but
//!   expensive: Envoy re-enters the VM to allocate memory for each returned value.
//! - The mark, on connections with more than one request, has an empty value and the number in its name. A request
//!   checks for the mark of the connection that received data last. A hit identifies its connection. A miss, caused
//!   by pipelining or a filter that delays requests, falls back to the link.
//!
//! Source: <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/include/proxy-wasm/wasm.h>, `copyToPointerSize`.

use crate::access::Access;
use crate::attribute::Attribute;
use crate::host::Host;

/// The mark of a connection.
#[derive(Debug, Default)]
pub struct ConnectionLink {
    /// A request found the connection by its link, so the next one will profit from a mark.
    pub wants_mark: bool,
    mark: Option<String>,
}

impl ConnectionLink {
    /// The property's name, if it is set.
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Sets the mark of the current connection, if it wants one.
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

/// Sets the link of the current connection. A connection may outlive its VM; `vm` distinguishes the VMs, because
/// context numbers repeat in each.
pub fn set<H: Host>(access: &mut Access<H>, vm: Option<u64>, context: u32) {
    if let Some(vm) = vm {
        let mut value = [0; 12];
        let (head, tail) = value.split_at_mut(8);
        head.copy_from_slice(&vm.to_le_bytes());
        tail.copy_from_slice(&context.to_le_bytes());
        access.set_connection_property(Attribute::CONNECTION_LINK.path, &value);
    }
}

/// The context of the current request's connection. `None` if this VM did not classify it.
pub fn get<H: Host>(access: &mut Access<H>, vm: Option<u64>) -> Option<u32> {
    if !access.read(Attribute::CONNECTION_LINK).ok()? {
        return None;
    }
    let (head, tail) = access.bytes.split_at_checked(8)?;
    let owner = u64::from_le_bytes(head.try_into().ok()?);
    let context = u32::from_le_bytes(tail.try_into().ok()?);
    (Some(owner) == vm).then_some(context)
}
