//! The process-wide metrics of an Envoy: metrics with the same name in different VMs are one metric.
//!
//! Envoy sums the values of all workers and the main thread, and keeps metrics as long as the process lives. Ids are per VM.

use crate::Status;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// The first argument of `proxy_define_metric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down, and can be set.
    Gauge,
    /// Recorded values; the filter has none.
    Histogram,
}

impl Kind {
    /// The kind with this ABI number, `None` for an unknown number.
    pub fn from_abi(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

type Values = BTreeMap<(Kind, Vec<u8>), u64>;

/// Values by kind and name, shared by all VMs of a [`crate::Proxy`].
#[derive(Clone, Debug, Default)]
pub struct MetricStore {
    values: Rc<RefCell<Values>>,
}

impl MetricStore {
    pub(crate) fn define(&self, kind: Kind, name: &[u8]) {
        self.values
            .borrow_mut()
            .entry((kind, name.to_vec()))
            .or_insert(0);
    }

    /// Adds to a counter or moves a gauge.
    ///
    /// A counter rejects 0 and negative values:
    /// <https://github.com/envoyproxy/envoy/blob/v1.36.2/source/extensions/common/wasm/context.cc> (`incrementMetric`).
    pub(crate) fn increment(&self, kind: Kind, name: &[u8], offset: i64) -> Status {
        let mut values = self.values.borrow_mut();
        let value = values.entry((kind, name.to_vec())).or_insert(0);
        match kind {
            Kind::Counter if offset > 0 => *value = value.wrapping_add(offset.unsigned_abs()),
            Kind::Counter | Kind::Histogram => return Status::BAD_ARGUMENT,
            Kind::Gauge => *value = value.wrapping_add_signed(offset),
        }
        Status::OK
    }

    /// Sets a gauge, adds to a counter.
    pub(crate) fn record(&self, kind: Kind, name: &[u8], value: u64) -> Status {
        let mut values = self.values.borrow_mut();
        let slot = values.entry((kind, name.to_vec())).or_insert(0);
        match kind {
            Kind::Counter => *slot = slot.wrapping_add(value),
            Kind::Gauge | Kind::Histogram => *slot = value,
        }
        Status::OK
    }

    /// All metrics defined so far, ordered by kind and name.
    pub fn snapshot(&self) -> Vec<(Kind, Vec<u8>, u64)> {
        let values = self.values.borrow();
        values
            .iter()
            .map(|((kind, name), value)| (*kind, name.clone(), *value))
            .collect()
    }

    /// The number of defined metrics, which a proxy keeps for ever.
    pub fn len(&self) -> usize {
        self.values.borrow().len()
    }

    /// Whether nothing is defined yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
