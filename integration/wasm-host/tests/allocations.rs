//! A warm request allocates nothing in the filter: counted natively, on a host that does not allocate either.
//!
//! The real module also receives the host's bytes without an allocation (`src/abi.rs`, `Inbox`); `gates.rs` counts the entries
//! into its allocator.

use allocation_counter::{AllocationInfo, measure};
use plainsight::{
    host::{HeaderMap, Host, MetricId, MetricKind, Status},
    vm::Vm,
};

/// A host with one connection.
#[derive(Debug, Default)]
struct QuietHost {
    mutual_tls: bool,
    metrics: u32,
    /// The properties that the filter set.
    own: Vec<(String, Vec<u8>)>,
}

impl QuietHost {
    fn answer(&self, path: &str) -> Option<&[u8]> {
        if let Some((_, value)) = self.own.iter().find(|(name, _)| name == path) {
            return Some(value);
        }
        let mutual_tls = self.mutual_tls;
        match path {
            "connection\0mtls" => Some(&[0]),
            "connection\0uri_san_peer_certificate" if mutual_tls => {
                Some(b"spiffe://cluster.local/ns/shop/sa/cart")
            }
            "connection\0tls_version" if mutual_tls => Some(b"TLSv1.3"),
            "source\0address" => Some(b"10.0.0.7:40000"),
            "destination\0port" => Some(&[144, 31, 0, 0, 0, 0, 0, 0]),
            "xds\0listener_direction" => Some(&[1, 0, 0, 0, 0, 0, 0, 0]),
            "xds\0node\0metadata\0NAMESPACE" => Some(b"shop"),
            _ => None,
        }
    }
}

fn hand_over(bytes: Option<&[u8]>, into: &mut Vec<u8>) -> Result<(), Status> {
    into.clear();
    into.extend_from_slice(bytes.ok_or(Status::NOT_FOUND)?);
    Ok(())
}

impl Host for QuietHost {
    fn property(&mut self, path: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        hand_over(self.answer(path), into)
    }

    fn set_property(&mut self, name: &str, value: &[u8]) -> Result<(), Status> {
        self.own.push((name.into(), value.into()));
        Ok(())
    }

    fn downstream_data(&mut self, _max: usize, into: &mut Vec<u8>) -> Result<(), Status> {
        hand_over(Some(b"GET / "), into)
    }

    fn plugin_configuration(&mut self, _size: usize, into: &mut Vec<u8>) -> Result<(), Status> {
        hand_over(Some(b"{}"), into)
    }

    fn header(&mut self, _map: HeaderMap, name: &str, into: &mut Vec<u8>) -> Result<(), Status> {
        hand_over((name == "user-agent").then_some(b"curl/8.5"), into)
    }

    fn replace_header(&mut self, _map: HeaderMap, _name: &str, _value: &str) -> Result<(), Status> {
        Ok(())
    }

    fn add_header(&mut self, _map: HeaderMap, _name: &str, _value: &str) -> Result<(), Status> {
        Ok(())
    }

    fn define_metric(&mut self, _kind: MetricKind, _name: &str) -> Result<MetricId, Status> {
        self.metrics += 1;
        Ok(MetricId(self.metrics))
    }

    fn increment_metric(&mut self, _id: MetricId, _by: i64) -> Result<(), Status> {
        Ok(())
    }

    fn record_metric(&mut self, _id: MetricId, _value: u64) -> Result<(), Status> {
        Ok(())
    }

    fn now(&mut self) -> Result<u64, Status> {
        Ok(1_767_225_600_000_000_000)
    }

    fn tick_every(&mut self, _milliseconds: u32) -> Result<(), Status> {
        Ok(())
    }
}

const ROOT: u32 = 1;
const CONNECTION: u32 = 2;

/// The allocations of 1,000 requests on a connection, after `warm` others.
fn requests(mutual_tls: bool, warm: u32) -> AllocationInfo {
    let mut vm = Vm::new(QuietHost {
        mutual_tls,
        ..QuietHost::default()
    });
    vm.on_context_create(ROOT, 0);
    vm.on_configure(ROOT, 2);
    vm.on_context_create(CONNECTION, ROOT);
    vm.on_new_connection(CONNECTION);
    vm.on_downstream_data(CONNECTION, 6);
    let mut stream = CONNECTION;
    let mut request = || {
        stream += 1;
        vm.on_downstream_data(CONNECTION, 100);
        vm.on_context_create(stream, ROOT);
        vm.on_request_headers(stream);
        vm.on_response_headers(stream);
    };
    (0..warm).for_each(|_| request());
    measure(|| (0..1_000).for_each(|_| request()))
}

#[test]
fn a_warm_request_allocates_nothing() {
    for mutual_tls in [false, true] {
        let allocations = requests(mutual_tls, 2).count_total;
        assert_eq!(allocations, 0, "mutual TLS: {mutual_tls}");
    }
}

#[test]
fn the_first_request_of_a_caller_allocates_so_the_count_works() {
    assert!(requests(false, 0).count_total > 0);
}
