//! A reporter as one writes it from the SDK's examples: per request five properties, a metric that is defined anew,
//! one increment and one header. It is the cost that plainsight's registry is there to avoid, and no model to follow.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Reporter));
}}

/// The root of the plugin.
struct Reporter;

impl Context for Reporter {}

impl RootContext for Reporter {
    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _header_count: usize, _end_of_stream: bool) -> Action {
        let mtls = bytes_of(&["connection", "mtls"]) == [1];
        let principal = text_of(&["connection", "uri_san_peer_certificate"]);
        let source = text_of(&["source", "address"]);
        let workload = text_of(&["xds", "node", "metadata", "WORKLOAD_NAME"]);
        let port = bytes_of(&["destination", "port"])
            .try_into()
            .map_or(0, i64::from_le_bytes);

        let source_ip = source.rsplit_once(':').map_or("", |(ip, _port)| ip);
        let peer = if mtls { "mutual_tls" } else { "plaintext" };
        let source_label = if mtls { "" } else { source_ip };
        let name = format!(
            "tag.peer={peer},source_ip={source_label},destination_workload={workload},destination_port={port};.naive_requests_total"
        );
        if let Ok(id) = hostcalls::define_metric(MetricType::Counter, &name) {
            // The stream goes on whatever the host says: a bench filter has nobody to tell.
            let _ = hostcalls::increment_metric(id, 1);
        }

        let item = if mtls {
            format!("{peer};principal=\"{principal}\"")
        } else {
            format!("{peer};source_ip=\"{source_ip}\"")
        };
        self.set_http_request_header("x-plainsight-peer", Some(&item));
        Action::Continue
    }
}

/// The property's bytes, empty when it is absent.
fn bytes_of(path: &[&str]) -> Vec<u8> {
    hostcalls::get_property(path.to_vec())
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// The property as text, empty when it is absent or no UTF-8.
fn text_of(path: &[&str]) -> String {
    String::from_utf8(bytes_of(path)).unwrap_or_default()
}
