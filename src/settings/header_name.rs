//! Header names that the filter may set.

/// Max bytes of a name.
const MAX_NAME: usize = 64;

/// Prefixes of headers that proxies, browsers or authentication use.
/// - Envoy: <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers>
/// - Istio: <https://istio.io/latest/docs/tasks/observability/distributed-tracing/overview/>
const RESERVED: [&str; 28] = [
    "x-accel-",
    "x-amz",
    "x-api-key",
    "x-auth",
    "x-access-token",
    "x-b3-",
    "x-client-",
    "x-cloud-trace-context",
    "x-content-",
    "x-csrf-",
    "x-datadog-",
    "x-envoy-",
    "x-forwarded",
    "x-frame-options",
    "x-goog-",
    "x-http-method",
    "x-istio-",
    "x-original-",
    "x-ot-",
    "x-proxy",
    "x-real-ip",
    "x-remote-",
    "x-request-id",
    "x-request-start",
    "x-rewrite-",
    "x-ssl-",
    "x-xsrf-",
    "x-xss-",
];

/// Response headers allowed besides `x-` names: RFC 9745, RFC 8594, RFC 8288.
const DEPRECATION: [&str; 3] = ["deprecation", "sunset", "link"];

/// A name for `requestHeader` and `responseHeader`, in lower case as HTTP/2 requires (RFC 9113, section 8.2.1).
pub(super) fn own(name: &str) -> Result<String, &'static str> {
    let name = name.to_ascii_lowercase();
    let is_token = name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte));
    match name.strip_prefix("x-") {
        Some(rest) if is_token && !rest.is_empty() => {}
        _ => return Err("not a header name that begins with x-"),
    }
    if RESERVED.iter().any(|reserved| name.starts_with(reserved)) {
        return Err("a header that proxies or applications use");
    }
    Ok(name)
}

/// A name for `responseHeaders`.
pub(super) fn response(name: &str) -> Result<String, &'static str> {
    let lower = name.to_ascii_lowercase();
    if DEPRECATION.contains(&lower.as_str()) {
        return Ok(lower);
    }
    match own(name) {
        Err("not a header name that begins with x-") => {
            Err("not deprecation, sunset, link or a header name that begins with x-")
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_begin_with_x() {
        assert_eq!(own("X-Plainsight-Peer"), Ok("x-plainsight-peer".into()));
        for name in [
            "authorization",
            "cookie",
            "content-type",
            "expect",
            "host",
            ":path",
            "",
            "x-",
            "x-a b",
            "x-a_b",
            "x-\u{e9}",
        ] {
            assert!(own(name).is_err(), "{name}");
        }
        assert!(own(&format!("x-{}", "a".repeat(63))).is_err());
    }

    #[test]
    fn headers_of_proxies_are_rejected() {
        for name in [
            "x-forwarded-client-cert",
            "x-forwarded-for",
            "X-Envoy-Original-Path",
            "x-request-id",
            "x-b3-traceid",
            "x-real-ip",
            "x-istio-attributes",
        ] {
            assert!(own(name).is_err(), "{name}");
            assert!(response(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_response_may_carry_deprecation_headers_and_no_other_standard_ones() {
        assert_eq!(response("Sunset"), Ok("sunset".into()));
        assert_eq!(response("x-migrate"), Ok("x-migrate".into()));
        for name in ["set-cookie", "location", "content-encoding", "grpc-status"] {
            assert!(response(name).is_err(), "{name}");
        }
    }
}
