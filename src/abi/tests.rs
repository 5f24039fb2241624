//! Compares the hand-written ABI of `src/abi.rs` with the SDK: numbers with its types, signatures with its
//! source.

use crate::abi;
use crate::host::Status as HostStatus;
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType, MetricType, PeerType, Status};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn numbers_match_the_sdk() {
    let pairs = [
        (abi::DOWNSTREAM_DATA, BufferType::DownstreamData as u32),
        (
            abi::PLUGIN_CONFIGURATION,
            BufferType::PluginConfiguration as u32,
        ),
        (abi::REQUEST_HEADERS, MapType::HttpRequestHeaders as u32),
        (abi::RESPONSE_HEADERS, MapType::HttpResponseHeaders as u32),
        (abi::COUNTER, MetricType::Counter as u32),
        (abi::GAUGE, MetricType::Gauge as u32),
        (abi::CONTINUE, Action::Continue as u32),
        (abi::LOCAL, PeerType::Local as u32),
        (abi::INFO, LogLevel::Info as u32),
        (abi::WARN, LogLevel::Warn as u32),
        (abi::ERROR, LogLevel::Error as u32),
        (HostStatus::NOT_FOUND.0, Status::NotFound as u32),
        (HostStatus::EMPTY.0, Status::Empty as u32),
    ];
    for (index, (ours, theirs)) in pairs.into_iter().enumerate() {
        assert_eq!(ours, theirs, "pair {index}");
    }
}

#[test]
fn signatures_of_host_calls_and_callbacks_match_the_sdk() {
    let ours = signatures(include_str!("../abi.rs"));
    let mut theirs = BTreeMap::new();
    for file in ["allocator.rs", "dispatcher.rs", "hostcalls.rs", "lib.rs"] {
        let path = sdk_source().join(file);
        let text = std::fs::read_to_string(&path).expect("the SDK's source is readable");
        // Later ones are mocks for tests.
        for (name, signature) in signatures(&text) {
            theirs.entry(name).or_insert(signature);
        }
    }
    assert!(ours.len() >= 20, "only {} functions found", ours.len());
    for (name, signature) in ours {
        assert_eq!(Some(&signature), theirs.get(&name), "{name}");
    }
}

/// The folder of the SDK that this test is linked with.
fn sdk_source() -> PathBuf {
    // Read at run time: the cargo that built the test may be gone.
    let output = Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO for tests"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let sdk = packages
        .iter()
        .find(|package| package["name"] == "proxy-wasm");
    let manifest = sdk.expect("the SDK is a dependency")["manifest_path"].as_str();
    PathBuf::from(manifest.expect("a path")).with_file_name("src")
}

/// The `proxy_` functions in a source: the types of parameters and result, enums as the u32 that they are.
fn signatures(source: &str) -> BTreeMap<String, String> {
    let function = regex::Regex::new(r"fn (proxy_\w+)\(([^)]*)\)(?: -> ([*\w ]+\w))?").unwrap();
    let enums =
        regex::Regex::new(r"\b(Action|BufferType|LogLevel|MapType|MetricType|PeerType|Status)\b")
            .unwrap();
    let mut out = BTreeMap::new();
    for found in function.captures_iter(source) {
        let parameters: Vec<_> = found[2]
            .split(',')
            .filter_map(|parameter| parameter.split_once(':'))
            .map(|(_, r#type)| r#type.trim())
            .collect();
        let result = found.get(3).map_or("()", |result| result.as_str());
        let signature = format!("({}) -> {result}", parameters.join(", "));
        let signature = enums.replace_all(&signature, "u32").into_owned();
        out.entry(found[1].into()).or_insert(signature);
    }
    out
}
