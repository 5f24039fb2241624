//! Label values through the real module and Istio's real tag regexes: intact, and in their own label only.

use plainsight_wasm_host::{
    Connection, Exposed, Facts, Proxy, Request, Sidecar, TagRegexes, real_module,
};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use std::collections::BTreeMap;

const HERE: &str = "10.1.0.1:8080";

/// Text that may confuse regexes, separators and encoders.
const FRAGMENTS: [&str; 34] = [
    "cache.",
    "cache",
    "component.",
    "tag.",
    "tag",
    "wasm_filter.",
    "rbac.allowed",
    "rbac",
    ".denied",
    ".istio_dry_run_allow_",
    ".shadow_allowed",
    "shadow_denied",
    ";.",
    ";.;",
    "=.=",
    ".=",
    ",",
    "=",
    ";",
    "%",
    "%3B",
    "_rq_200",
    "_rq_2xx",
    "cluster.",
    "http.",
    "peer=.=mutual_tls;.;",
    "source_ip=",
    "spiffe://",
    "é",
    "\"",
    "\\",
    "\n",
    ".",
    "a",
];

fn text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        6 => proptest::sample::select(&FRAGMENTS[..]).prop_map(str::to_owned),
        1 => "[ -~]{1,8}",
        1 => "\\PC{1,4}",
    ];
    proptest::collection::vec(fragment, 1..7).prop_map(|parts| parts.concat())
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let encoded = (first == b'%').then(|| behind.get(..2)).flatten();
        let byte = encoded
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).unwrap()
}

/// The texts of one case, one for each label.
#[derive(Clone, Debug)]
struct Texts {
    name: String,
    principal: String,
    workload: String,
    namespace: String,
}

fn texts() -> impl Strategy<Value = Texts> {
    (text(), text(), text(), text()).prop_map(|(name, principal, workload, namespace)| Texts {
        name,
        principal: format!("spiffe://{principal}/ns/a/sa/b"),
        workload,
        namespace,
    })
}

/// The metrics exposed after calls of a plaintext and a mutual TLS caller with these texts.
fn exposed(proxy: &Proxy, regexes: &TagRegexes, texts: &Texts) -> Vec<Exposed> {
    let proxy = proxy.another();
    proxy.set_node(Facts::node(&texts.workload, &texts.namespace));
    let configuration = serde_json::json!({
        "principals": true, "callers": [{"cidr": "10.0.0.0/8", "name": texts.name}],
    });
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin(configuration.to_string()).unwrap();
    for connection in [
        Connection::plaintext("10.0.0.7:1", HERE),
        Connection::mutual_tls("10.0.0.8:1", HERE, &texts.principal),
    ] {
        let accepted = vm.open(plugin, &connection).unwrap();
        vm.data(accepted, b"GET").unwrap();
        vm.request(plugin, accepted, &Request::get("curl")).unwrap();
        vm.close(accepted).unwrap();
    }
    vm.tick().unwrap();
    let snapshot = proxy.metrics().snapshot();
    let names = snapshot
        .iter()
        .map(|(_, name, _)| std::str::from_utf8(name).unwrap());
    names.map(|name| regexes.expose(name).unwrap()).collect()
}

/// The labels of the one sample of `metric` with `peer`, decoded; `None` without it.
fn labels(all: &[Exposed], metric: &str, peer: &str) -> Option<BTreeMap<String, String>> {
    let mut found = all
        .iter()
        .filter(|exposed| exposed.name == metric)
        .filter_map(|exposed| {
            assert_eq!(exposed.labels.len(), 1, "{exposed:?}");
            let pairs = exposed.unpacked()?;
            let count = pairs.len();
            let labels: BTreeMap<_, _> = pairs
                .into_iter()
                .map(|(name, value)| (name, decoded(&value)))
                .collect();
            assert_eq!(labels.len(), count, "{exposed:?}");
            (labels.get("peer").map(String::as_str) == Some(peer)).then_some(labels)
        });
    let first = found.next();
    assert!(found.next().is_none(), "{metric}: more than one");
    first
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Asserts that every value is exposed unchanged.
fn comes_out_whole(proxy: &Proxy, regexes: &TagRegexes, texts: &Texts) {
    let all = exposed(proxy, regexes, texts);
    let destination = [
        ("destination_workload", texts.workload.as_str()),
        ("destination_workload_namespace", texts.namespace.as_str()),
        ("destination_port", "8080"),
    ];
    let caller = [
        ("peer", "plaintext"),
        ("strict", "reject"),
        ("source_ip", "10.0.0.7"),
        ("source_name", &texts.name),
    ];
    let caller = [&caller[..], &destination].concat();
    let peer = [
        ("peer", "mutual_tls"),
        ("strict", "allow"),
        ("source_principal", &texts.principal),
    ];
    let peer = [&peer[..], &destination].concat();
    for metric in ["connections_total", "last_seen_timestamp_seconds"] {
        let labels = labels(&all, &format!("plainsight_{metric}"), "plaintext");
        assert_eq!(labels, Some(expected(&caller)), "{metric}");
    }
    let requests = labels(&all, "plainsight_requests_total", "plaintext");
    assert_eq!(
        requests,
        Some(expected(&[&caller[..], &[("traffic", "app")]].concat()))
    );
    let connections = labels(&all, "plainsight_connections_total", "mutual_tls");
    assert_eq!(connections, Some(expected(&peer)));
    for exposed in &all {
        assert!(exposed.name.starts_with("plainsight_"), "{exposed:?}");
    }
}

#[test]
fn every_value_is_exposed_intact() {
    let proxy = real_module().unwrap();
    let regexes = TagRegexes::stock().unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        // The same values on every run; `make stress ONLY=hostile` and `make fuzz` generate new ones.
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    });
    runner
        .run(&texts(), |texts| {
            comes_out_whole(&proxy, &regexes, &texts);
            Ok(())
        })
        .unwrap();
}

#[test]
fn values_that_once_leaked_into_other_labels_are_exposed_intact() {
    let proxy = real_module().unwrap();
    let regexes = TagRegexes::stock().unwrap();
    for leak in [
        "cache.example.com",
        "rbac.allowed",
        "tag.x",
        "a.shadow_denied",
        "x;.;peer=.=mutual_tls;.;",
    ] {
        let texts = Texts {
            name: leak.to_owned(),
            principal: format!("spiffe://{leak}/ns/a/sa/b"),
            workload: leak.to_owned(),
            namespace: leak.to_owned(),
        };
        comes_out_whole(&proxy, &regexes, &texts);
    }
}

#[test]
fn a_uri_of_overflow_is_not_the_overflow_series() {
    const CONNECTIONS: &str = "plainsight_connections_total";
    let peer = |san: &str| Connection::mutual_tls("10.0.0.8:1", HERE, san);
    let mut sidecar = Sidecar::start(r#"{"principals": true, "maxCallers": 1}"#).unwrap();
    sidecar.call(&peer("overflow")).unwrap();
    // Beyond the cap: the filter's own `overflow`.
    sidecar
        .call(&peer("spiffe://cluster.local/ns/a/sa/b"))
        .unwrap();
    let scrape = sidecar.scrape().unwrap();
    let own = scrape.sum(CONNECTIONS, &[("source_principal", "overflow")]);
    assert_eq!(own, 1);
    let samples = scrape.matching(CONNECTIONS, &[("peer", "mutual_tls")]);
    let values = samples
        .iter()
        .map(|sample| sample.labels["source_principal"].as_str());
    let values: Vec<_> = values.filter(|value| *value != "overflow").collect();
    assert_eq!(values.len(), 1, "{samples:?}");
    assert_eq!(decoded(values[0]), "overflow");
}
