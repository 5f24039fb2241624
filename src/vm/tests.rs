//! The filter driven through a scripted host.

use super::*;
use crate::fake_host::FakeHost;
use crate::host::Status;

mod callers;
mod faults;
mod requests;

const ROOT: u32 = 1;
const TAIL: &str =
    "destination_workload=web,destination_workload_namespace=shop,destination_port=8080";

/// A worker with one plugin, configured with `json`.
fn vm(json: &str) -> Vm<FakeHost> {
    let mut host = FakeHost {
        seconds: 1_000,
        ..FakeHost::default()
    };
    host.set("xds.node.metadata.WORKLOAD_NAME", b"web");
    host.set("xds.node.metadata.NAMESPACE", b"shop");
    host.set("xds.listener_direction", &1_u64.to_le_bytes());
    host.set("destination.port", &8080_u64.to_le_bytes());
    host.set("connection.mtls", &[0]);
    let mut vm = Vm::new(host);
    configure(&mut vm, ROOT, json);
    vm
}

fn configure(vm: &mut Vm<FakeHost>, root: u32, json: &str) {
    vm.on_context_create(root, 0);
    vm.access.host.configuration = json.as_bytes().to_vec();
    vm.on_configure(root, json.len() as u32);
}

/// Opens a connection of a caller and lets it send `first`.
fn connect(vm: &mut Vm<FakeHost>, context: u32, source: &str, first: &[u8]) {
    vm.on_context_create(context, ROOT);
    vm.on_new_connection(context);
    send(vm, context, source, first);
}

/// Sets what the host says of a connection, whose id is its context's number.
fn send(vm: &mut Vm<FakeHost>, context: u32, source: &str, data: &[u8]) {
    let host = &mut vm.access.host;
    host.set("connection.id", &u64::from(context).to_le_bytes());
    host.set("source.address", source.as_bytes());
    host.data = data.to_vec();
    vm.on_downstream_data(context, data.len() as u32);
}

/// A request on the connection of that id.
fn request(vm: &mut Vm<FakeHost>, stream: u32, connection: u32, headers: &[(&str, &str)]) {
    let host = &mut vm.access.host;
    host.set("connection.id", &u64::from(connection).to_le_bytes());
    host.request_headers = headers
        .iter()
        .map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()))
        .collect();
    host.response_headers.clear();
    vm.on_context_create(stream, ROOT);
    vm.on_request_headers(stream);
}

fn mutual_tls(vm: &mut Vm<FakeHost>, san: &str) {
    let host = &mut vm.access.host;
    host.set("connection.mtls", &[1]);
    host.set("connection.uri_san_peer_certificate", san.as_bytes());
    host.set("connection.tls_version", b"TLSv1.3");
}

fn value(vm: &Vm<FakeHost>, labels: &str, metric: &str) -> i64 {
    vm.access
        .host
        .value(&format!("tag.{labels},{TAIL};.plainsight_{metric}"))
}

/// Series of other peers than mutual TLS.
fn plain_series(vm: &Vm<FakeHost>) -> Vec<(String, i64)> {
    let mut all = vm.access.host.metrics_with("peer=");
    all.retain(|(name, _)| !name.contains("peer=mutual_tls"));
    all
}
