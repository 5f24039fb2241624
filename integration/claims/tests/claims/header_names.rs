//! Configured header names that would replace a header of the client, of the application or of a proxy are rejected.

use plainsight_harness::app::SET_HEADER;
use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONFIG_ERRORS, HEADER, Scene, plaintext_from};

#[tokio::test]
async fn a_reserved_request_header_is_rejected_and_not_touched() {
    for name in [
        "authorization",
        "cookie",
        "content-type",
        "expect",
        "host",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-envoy-peer-metadata",
        "x-request-id",
        "x-b3-traceid",
        "x-real-ip",
        ":path",
        "X-Plain Sight",
    ] {
        let scene = Scene::start(json!({"requestHeader": name})).await;
        let mut caller = Caller::http1("127.0.0.2").with_header(HEADER, "forged");
        // Except headers that the client's library or Envoy sets, changes or removes itself.
        let is_sent = ![
            "content-type",
            "expect",
            "host",
            "x-forwarded-client-cert",
            "x-request-id",
            ":path",
            "X-Plain Sight",
        ]
        .contains(&name);
        if is_sent {
            caller = caller.with_header(name, "the client's own");
        }
        let reply = caller.call(scene.http.address()).await.unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")],
            "{name}: the default is in force"
        );
        if is_sent {
            let seen = reply.header_seen_by_app(name).concat();
            assert!(seen.contains("the client's own"), "{name}: {seen}");
        }
        let scrape = scene.envoy.scrape().await.unwrap();
        assert_eq!(scrape.sum(CONFIG_ERRORS, &[]), 1.0, "{name}");
        let log = scene.envoy.log();
        assert!(
            log.contains("requestHeader: "),
            "{name}: {}",
            scene.envoy.log_tail()
        );
    }
}

#[tokio::test]
async fn a_reserved_response_header_is_rejected_and_not_touched() {
    for name in [
        "set-cookie",
        "location",
        "content-encoding",
        "grpc-status",
        "x-envoy-upstream-service-time",
    ] {
        for configuration in [
            json!({"responseHeader": name}),
            json!({"responseHeaders": {name: "plainsight's"}}),
        ] {
            let scene = Scene::start(configuration.clone()).await;
            let caller = Caller::http1("127.0.0.2").with_header(SET_HEADER, format!("{name}=own"));
            let reply = caller.call(scene.http.address()).await.unwrap();
            for value in reply.headers.get_all(name) {
                let value = value.to_str().unwrap();
                assert!(!value.contains("plain"), "{configuration}: {value}");
            }
            let scrape = scene.envoy.scrape().await.unwrap();
            assert_eq!(scrape.sum(CONFIG_ERRORS, &[]), 1.0, "{configuration}");
            let log = scene.envoy.log();
            assert!(log.contains("responseHeader"), "{}", scene.envoy.log_tail());
        }
    }
}
