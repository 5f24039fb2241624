//! The opt-in headers for callers that STRICT would reject.

use plainsight_harness::app::SET_HEADER;
use plainsight_harness::callers::{Caller, Reply};
use plainsight_harness::shapes::{Port, Protocol};
use serde_json::{Value, json};

use crate::scene::{HEADER, REQUESTS, Scene, application_down, plaintext_from};

const NAMES: [&str; 5] = [
    "x-plainsight-verdict",
    "deprecation",
    "sunset",
    "link",
    "x-move",
];

fn headers() -> Value {
    json!({
        "deprecation": "@1767225600",
        "sunset": "Thu, 31 Dec 2026 23:59:59 GMT",
        "link": "<https://wiki.example.com/strict-mtls>; rel=\"deprecation\"",
        "x-move": "to the mesh",
    })
}

/// The values of [`NAMES`].
fn values(reply: &Reply) -> [Vec<String>; 5] {
    NAMES.map(|name| {
        let values = reply.headers.get_all(name).into_iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    })
}

fn expected(verdict: &[String]) -> [Vec<String>; 5] {
    let configured = headers();
    NAMES.map(|name| match configured[name].as_str() {
        Some(value) => vec![value.to_owned()],
        None => verdict.to_vec(),
    })
}

const NOTHING: [Vec<String>; 5] = [const { Vec::new() }; 5];

#[tokio::test]
async fn a_caller_that_strict_would_reject_gets_the_verdict_and_the_fixed_headers() {
    let scene = Scene::start(json!({
        "responseHeader": "x-plainsight-verdict",
        "responseHeaders": headers(),
    }))
    .await;
    for caller in [
        Caller::http1("127.0.0.2"),
        Caller::http2("127.0.0.2"),
        Caller::grpc("127.0.0.2"),
    ] {
        let protocol = caller.protocol;
        let reply = caller.call(scene.http.address()).await.unwrap();
        assert_eq!(
            values(&reply),
            expected(&[plaintext_from("127.0.0.2")]),
            "{protocol:?}"
        );
    }
    let mesh = Caller::http1("127.0.0.2").over_mesh(scene.client());
    let reply = mesh.call(scene.http.address()).await.unwrap();
    assert_eq!(values(&reply), NOTHING);
}

#[tokio::test]
async fn the_fixed_headers_need_no_verdict_header() {
    let scene = Scene::start(json!({"responseHeaders": headers()})).await;
    let caller = Caller::http1("127.0.0.2");
    let reply = caller.call(scene.http.address()).await.unwrap();
    assert_eq!(values(&reply), expected(&[]));
}

#[tokio::test]
async fn a_header_that_the_application_set_is_unchanged() {
    let scene = Scene::start(json!({
        "responseHeader": "x-plainsight-verdict",
        "responseHeaders": headers(),
    }))
    .await;
    let configured = expected(&[plaintext_from("127.0.0.2")]);
    for (at, name) in NAMES.iter().enumerate() {
        let caller = Caller::http1("127.0.0.2").with_header(SET_HEADER, format!("{name}=own"));
        let reply = caller.call(scene.http.address()).await.unwrap();
        let mut expected = configured.clone();
        expected[at] = vec!["own".to_owned()];
        assert_eq!(values(&reply), expected, "{name}");
    }
}

/// Envoy's own answer, here 503, passes the same filters.
#[tokio::test]
async fn a_local_reply_carries_the_headers_and_its_request_is_counted() {
    let (address, _reserved) = application_down();
    let port = Port::declared(Protocol::Http, address).unwrap();
    let down = port.clone();
    let scene = Scene::with(|sidecar| {
        sidecar.ports.push(down);
        let configuration = json!({
            "responseHeader": "x-plainsight-verdict",
            "responseHeaders": headers(),
        });
        *sidecar = sidecar.clone().with_plainsight(configuration).unwrap();
    })
    .await;
    let caller = Caller::http1("127.0.0.2");
    let mut connection = caller.connect(port.address()).await.unwrap();
    let reply = connection.exchange("/").await.unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(values(&reply), expected(&[plaintext_from("127.0.0.2")]));
    let label = port.label();
    let labels = [("destination_port", label.as_str())];
    scene.counted(REQUESTS, &labels, 1.0).await;
}

#[tokio::test]
async fn by_default_the_response_is_unchanged() {
    let scene = Scene::start(json!({})).await;
    let reply = Caller::http1("127.0.0.2")
        .call(scene.http.address())
        .await
        .unwrap();
    assert_eq!(values(&reply), NOTHING);
    assert!(reply.headers.get(HEADER).is_none());
}

#[tokio::test]
async fn the_request_header_can_be_renamed_and_turned_off() {
    let renamed = Scene::start(json!({"requestHeader": "x-who"})).await;
    let caller = Caller::http1("127.0.0.2")
        .with_header("x-who", "forged")
        .with_header(HEADER, "another header");
    let reply = caller.call(renamed.http.address()).await.unwrap();
    assert_eq!(
        reply.header_seen_by_app("x-who"),
        [plaintext_from("127.0.0.2")]
    );
    assert_eq!(reply.header_seen_by_app(HEADER), ["another header"]);

    let off = Scene::start(json!({"requestHeader": null})).await;
    let reply = Caller::http1("127.0.0.2")
        .call(off.http.address())
        .await
        .unwrap();
    assert_eq!(reply.header_seen_by_app(HEADER), [""; 0]);
    off.counted(
        "plainsight_requests_total",
        &[("source_ip", "127.0.0.2")],
        1.0,
    )
    .await;
}
