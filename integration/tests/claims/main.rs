//! One claim per file, each against a real Envoy with the real module. One binary, so that it links once.

mod aborted_connections;
mod bad_configuration;
mod caller_claims;
mod caller_log_lines;
mod connection_id_zero;
mod delayed_requests;
mod early_tls_read;
mod every_language;
mod exact_exposition;
mod exempt_ports;
mod foreign_plugin;
mod forged_headers;
mod host_calls;
mod hostile_bytes;
mod hostile_label_values;
mod native_labels;
mod one_plugin_alone;
mod outbound_listener;
mod pipelined_requests;
mod principals;
mod response_headers;
mod scene;
mod several_workers;
