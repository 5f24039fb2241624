//! Envoy's shared data: one space for every VM with the same `vm_id`, guarded by compare-and-swap.
//!
//! Source: <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/shared_data.cc>. A set with `cas` 0 always wins,
//! any other `cas` must be the one the value was read with; numbers are never used twice, over all keys.

use crate::Status;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

#[derive(Debug, Default)]
struct Space {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
    meddling: u32,
    conflicts: u64,
}

/// Values with their compare-and-swap numbers, shared by all VMs of a [`crate::Proxy`].
#[derive(Clone, Debug, Default)]
pub struct SharedValues {
    space: Rc<RefCell<Space>>,
}

impl SharedValues {
    pub(crate) fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.space.borrow().values.get(key).cloned()
    }

    /// Writes `value` when `cas` is 0 or still the number of the value there.
    pub fn set(&self, key: &[u8], value: &[u8], cas: u32) -> Status {
        let mut space = self.space.borrow_mut();
        if space.meddling > 0 {
            // Another worker gets in between the read and this write, as threads do.
            space.meddling -= 1;
            space.last_cas += 1;
            let number = space.last_cas;
            if let Some((_, held)) = space.values.get_mut(key) {
                *held = number;
            }
        }
        match space.values.get(key) {
            Some((_, held)) if cas != 0 && cas != *held => {
                space.conflicts += 1;
                return Status::CAS_MISMATCH;
            }
            _ => {}
        }
        space.last_cas += 1;
        let number = space.last_cas;
        space.values.insert(key.to_vec(), (value.to_vec(), number));
        Status::OK
    }

    /// Lets the next `times` writes find that somebody else wrote first.
    pub fn conflict_next(&self, times: u32) {
        self.space.borrow_mut().meddling = times;
    }

    /// How many writes were turned down so far.
    pub fn conflicts(&self) -> u64 {
        self.space.borrow().conflicts
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.space.borrow().values.keys().cloned().collect()
    }

    /// The bytes kept in all: what the process never gives back.
    pub fn bytes(&self) -> usize {
        let space = self.space.borrow();
        space
            .values
            .iter()
            .map(|(k, (v, _))| k.len() + v.len())
            .sum()
    }
}
