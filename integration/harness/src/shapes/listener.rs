//! One inbound listener with its chains.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::Mode;
use super::chains::{Carries, Chain, chains};
use super::cluster::socket_address;
use super::sidecar::{Port, Sidecar};

/// The inbound listener of `port`.
pub(super) fn listener(sidecar: &Sidecar, port: &Port) -> Value {
    let mode = port.mode.unwrap_or(sidecar.mode);
    let chains = chains(mode, port.protocol);
    let mut inspectors = Vec::new();
    // Inspectors only if a chain needs them, as in populateListenerFilters.
    if chains.iter().any(|chain| chain.transport == "tls") {
        inspectors.push(typed(
            "envoy.filters.listener.tls_inspector",
            "listener.tls_inspector.v3.TlsInspector",
        ));
    }
    if chains.iter().any(|chain| chain.alpn.contains(&"http/1.1")) {
        inspectors.push(typed(
            "envoy.filters.listener.http_inspector",
            "listener.http_inspector.v3.HttpInspector",
        ));
    }
    let address = |ip: IpAddr| socket_address((ip, port.number()).into());
    json!({
        "name": port.listener_name(),
        "address": address(Ipv4Addr::LOCALHOST.into()),
        "additional_addresses": [{"address": address(Ipv6Addr::LOCALHOST.into())}],
        "traffic_direction": sidecar.traffic_direction,
        "continue_on_listener_filters_timeout": true,
        // protocolDetectionTimeout is 0 in a stock mesh: the inspectors wait without a timeout.
        "listener_filters_timeout": "0s",
        "listener_filters": inspectors,
        "filter_chains": chains.iter().enumerate().map(|(at, chain)| filter_chain(sidecar, port, at, chain)).collect::<Vec<_>>(),
    })
}

fn filter_chain(sidecar: &Sidecar, port: &Port, at: usize, chain: &Chain) -> Value {
    let mut filter_chain_match = json!({"transport_protocol": chain.transport});
    if !chain.alpn.is_empty() {
        filter_chain_match["application_protocols"] = json!(chain.alpn);
    }
    if port.declared {
        filter_chain_match["destination_port"] = json!(port.number());
    }
    let mut filters = port.network_filters_first.clone();
    filters.extend(sidecar.network_filters_first.iter().cloned());
    filters.extend(
        sidecar
            .network_plugins
            .iter()
            .map(super::Plugin::network_filter),
    );
    filters.extend(sidecar.network_filters_last.iter().cloned());
    filters.extend(port.network_filters_last.iter().cloned());
    filters.push(match chain.carries {
        Carries::Http => connection_manager(sidecar, port),
        Carries::Tcp => json!({
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": port.cluster_name(),
                "cluster": port.cluster_name(),
            },
        }),
    });
    let mut filter_chain = json!({
        // Istio uses one name for plaintext and mutual TLS, but updates need unique names.
        "name": format!("{}_{at}", port.listener_name()),
        "filter_chain_match": filter_chain_match,
        "filters": filters,
    });
    if chain.terminates_tls {
        filter_chain["transport_socket"] = transport_socket(sidecar, port, chain.carries);
    }
    filter_chain
}

/// The context of `BuildInboundTLS`:
/// <https://github.com/istio/istio/blob/master/pilot/pkg/security/authn/utils/utils.go>. Secrets are inline here.
fn transport_socket(sidecar: &Sidecar, port: &Port, carries: Carries) -> Value {
    let alpn = match carries {
        Carries::Http => json!(["h2", "http/1.1"]),
        Carries::Tcp => json!(["istio-peer-exchange", "h2", "http/1.1"]),
    };
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": port.require_client_certificate || sidecar.mode == Mode::Strict,
            "common_tls_context": {
                "alpn_protocols": alpn,
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_2",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "cipher_suites": [
                        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
                        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                        "AES256-GCM-SHA384", "AES128-GCM-SHA256",
                    ],
                },
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": sidecar.mesh.server.certificate_pem},
                    "private_key": {"inline_string": sidecar.mesh.server.key_pem},
                }],
                "validation_context": {"trusted_ca": {"inline_string": sidecar.mesh.authority.pem()}},
            },
        },
    })
}

/// The connection manager of `buildSidecarInboundHTTPOpts`: `use_remote_address` false, so that the caller's own
/// `X-Forwarded-For` sets the source address.
fn connection_manager(sidecar: &Sidecar, port: &Port) -> Value {
    let mut http_filters = sidecar.http_filters_first.clone();
    http_filters.extend(sidecar.http_plugins.iter().map(super::Plugin::http_filter));
    http_filters.extend(sidecar.http_filters_last.iter().cloned());
    http_filters.push(typed("envoy.filters.http.router", "http.router.v3.Router"));
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": format!("inbound_{};", port.listener_name()),
            "use_remote_address": false,
            "forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": {"subject": true, "dns": true, "uri": true},
            "server_name": "istio-envoy",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "stream_idle_timeout": "0s",
            "normalize_path": true,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
            "request_id_extension": {
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                    "use_request_id_for_trace_sampling": true,
                },
            },
            "http_filters": http_filters,
            "route_config": {
                "name": port.cluster_name(),
                "validate_clusters": false,
                "virtual_hosts": [{
                    "name": "inbound|http",
                    "domains": ["*"],
                    "routes": [{
                        "name": "default",
                        "match": {"prefix": "/"},
                        "route": {"cluster": port.cluster_name(), "timeout": "0s"},
                    }],
                }],
            },
        },
    })
}

fn typed(name: &str, kind: &str) -> Value {
    json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.filters.{kind}")}})
}
