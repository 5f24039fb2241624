//! Label values through the real module and Istio's real tag regexes: whole, in their own label and in no other.

use plainsight_wasm_host::{Connection, Exposed, Names, Proxy, Request, TagRegexes, real_module};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use std::collections::BTreeMap;

const HERE: &str = "10.1.0.1:8080";

/// The labels that `extraStatTags` lists for the native form.
const LABELS: [&str; 12] = [
    "peer",
    "strict",
    "source_ip",
    "source_name",
    "source_principal",
    "destination_workload",
    "destination_workload_namespace",
    "destination_port",
    "traffic",
    "claimed_workload",
    "claimed_workload_namespace",
    "version",
];

/// What regexes, separators and encoders may stumble over.
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

/// The texts of one case, each for a label of its own.
#[derive(Clone, Debug)]
struct Texts {
    name: String,
    principal: String,
    workload: String,
    namespace: String,
    claimed: String,
}

fn texts() -> impl Strategy<Value = Texts> {
    (text(), text(), text(), text(), text()).prop_map(
        |(name, principal, workload, namespace, claimed)| Texts {
            name,
            principal: format!("spiffe://{principal}/ns/a/sa/b"),
            workload,
            namespace,
            claimed,
        },
    )
}

/// A plaintext and a mutual TLS caller with these texts, and everything that is then exposed.
fn exposed(proxy: &Proxy, regexes: &TagRegexes, form: &str, texts: &Texts) -> Vec<Exposed> {
    let proxy = proxy.another();
    proxy.set_node(Names::Xds.node(&texts.workload, &texts.namespace));
    let configuration = serde_json::json!({
        "labels": form, "principals": true, "callers": [{"cidr": "10.0.0.0/8", "name": texts.name}],
    });
    let mut vm = proxy.worker().unwrap();
    let plugin = vm.plugin(configuration.to_string()).unwrap();
    let claim = ["filter_state", "downstream_peer", "workload"];
    for connection in [
        Connection::plaintext("10.0.0.7:1", HERE).with(&claim, texts.claimed.as_str()),
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
fn labels(
    all: &[Exposed],
    form: &str,
    metric: &str,
    peer: Option<&str>,
) -> Option<BTreeMap<String, String>> {
    let mut found = all
        .iter()
        .filter(|exposed| exposed.name == metric)
        .filter_map(|exposed| {
            let pairs = if form == "stock" {
                assert_eq!(exposed.labels.len(), 1, "{exposed:?}");
                exposed.unpacked()?
            } else {
                exposed.labels.clone()
            };
            let count = pairs.len();
            let labels: BTreeMap<_, _> = pairs
                .into_iter()
                .map(|(name, value)| (name, decoded(&value)))
                .collect();
            assert_eq!(labels.len(), count, "{exposed:?}");
            (labels.get("peer").map(String::as_str) == peer).then_some(labels)
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

/// Every value must come out as it went in.
fn comes_out_whole(proxy: &Proxy, regexes: &TagRegexes, form: &str, texts: &Texts) {
    let all = exposed(proxy, regexes, form, texts);
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
    for metric in [
        "connections_total",
        "active_connections",
        "last_seen_timestamp_seconds",
    ] {
        let labels = labels(
            &all,
            form,
            &format!("plainsight_{metric}"),
            Some("plaintext"),
        );
        assert_eq!(labels, Some(expected(&caller)), "{metric}");
    }
    let requests = labels(&all, form, "plainsight_requests_total", Some("plaintext"));
    assert_eq!(
        requests,
        Some(expected(&[&caller[..], &[("traffic", "app")]].concat()))
    );
    let connections = labels(
        &all,
        form,
        "plainsight_connections_total",
        Some("mutual_tls"),
    );
    assert_eq!(connections, Some(expected(&peer)));
    let claims = labels(&all, form, "plainsight_caller_claims", None);
    let claim = [
        ("source_ip", "10.0.0.7"),
        ("claimed_workload", &texts.claimed),
    ];
    assert_eq!(claims, Some(expected(&claim)));
    for exposed in &all {
        assert!(exposed.name.starts_with("plainsight_"), "{exposed:?}");
    }
}

fn every_value_comes_out_whole(form: &str) {
    let proxy = real_module().unwrap();
    // Another team's tag does no harm, unless its name is the end of one of ours: Istio does not anchor these regexes.
    let regexes = TagRegexes::stock(&[&LABELS[..], &["dlp_status"]].concat()).unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        // The same values on every run; `make hostile` and `make fuzz` try new ones.
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    });
    runner
        .run(&texts(), |texts| {
            comes_out_whole(&proxy, &regexes, form, &texts);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_value_comes_out_whole_in_the_stock_form() {
    every_value_comes_out_whole("stock");
}

#[test]
fn every_value_comes_out_whole_in_the_native_form() {
    every_value_comes_out_whole("native");
}

#[test]
fn the_values_that_were_seen_to_leak_no_longer_do() {
    let proxy = real_module().unwrap();
    let regexes = TagRegexes::stock(&LABELS).unwrap();
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
            claimed: leak.to_owned(),
        };
        for form in ["stock", "native"] {
            comes_out_whole(&proxy, &regexes, form, &texts);
        }
    }
}
