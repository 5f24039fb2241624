//! The closed set of values that the filter exchanges with Envoy: property paths, and values of label `attribute`.

/// Something that the filter reads from Envoy or writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The label's value.
    pub name: &'static str,
    /// The elements of the property's path, separated by NUL bytes; empty if it is not a property.
    pub path: &'static str,
}

const fn property(name: &'static str, path: &'static str) -> Attribute {
    Attribute { name, path }
}

const fn call(name: &'static str) -> Attribute {
    Attribute { name, path: "" }
}

/// Properties: <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>.
impl Attribute {
    /// Text: the SPIFFE id. Absent without TLS, or if the certificate has no URI SAN.
    pub const URI_SAN: Attribute = property(
        "connection.uri_san_peer_certificate",
        "connection\0uri_san_peer_certificate",
    );
    /// Text. Absent if TLS is not terminated here.
    pub const TLS_VERSION: Attribute =
        property("connection.tls_version", "connection\0tls_version");
    /// Boolean: a client certificate was presented.
    pub const MTLS: Attribute = property("connection.mtls", "connection\0mtls");
    /// Text: the principal of the HBONE tunnel, set by Istio's `connect_authority` filter. The key is one
    /// path element.
    pub const HBONE_PRINCIPAL: Attribute = property(
        "filter_state.io.istio.peer_principal",
        "filter_state\0io.istio.peer_principal",
    );
    /// Text: the server name of the ClientHello. Set by the TLS inspector on passthrough chains too.
    pub const SERVER_NAME: Attribute = property(
        "connection.requested_server_name",
        "connection\0requested_server_name",
    );
    /// Text: why the transport socket failed.
    pub const FAILURE_REASON: Attribute = property(
        "connection.transport_failure_reason",
        "connection\0transport_failure_reason",
    );
    /// Text: `ip:port` of the caller.
    pub const SOURCE_ADDRESS: Attribute = property("source.address", "source\0address");
    /// Integer: the target port, after `original_dst`.
    pub const DESTINATION_PORT: Attribute = property("destination.port", "destination\0port");
    /// Integer: 1 inbound, 2 outbound. Absent while a plugin is configured.
    pub const LISTENER_DIRECTION: Attribute =
        property("xds.listener_direction", "xds\0listener_direction");
    /// Text: the workload behind this proxy.
    pub const WORKLOAD_NAME: Attribute = property(
        "xds.node.metadata.WORKLOAD_NAME",
        "xds\0node\0metadata\0WORKLOAD_NAME",
    );
    /// Text: the workload's namespace.
    pub const NAMESPACE: Attribute = property(
        "xds.node.metadata.NAMESPACE",
        "xds\0node\0metadata\0NAMESPACE",
    );
    /// Text: the plugin's `vm_id`. Istio leaves it empty.
    pub const VM_ID: Attribute = property("plugin_vm_id", "plugin_vm_id");
    /// The filter's own properties of a connection ([`crate::connection_link`]).
    pub const CONNECTION_LINK: Attribute = property("connection_link", "plainsight.connection");

    /// The first bytes from the caller.
    pub const DOWNSTREAM_DATA: Attribute = call("downstream_data");
    /// The request's User-Agent.
    pub const USER_AGENT: Attribute = call("request.user_agent");
    /// The header to the application.
    pub const REQUEST_HEADER: Attribute = call("request_header");
    /// The headers to the caller.
    pub const RESPONSE_HEADER: Attribute = call("response_header");
    /// The plugin's configuration.
    pub const PLUGIN_CONFIGURATION: Attribute = call("plugin_configuration");
    /// The plugin that a connection or a request belongs to.
    pub const PLUGIN_CONTEXT: Attribute = call("plugin_context");
    /// A metric's definition or value.
    pub const METRIC: Attribute = call("metric");
    /// The time.
    pub const TIME: Attribute = call("time");
    /// The timer.
    pub const TIMER: Attribute = call("timer");
}
