//! The documented example has the shapes of the proof, so that the two cannot diverge.

use std::net::Ipv4Addr;

use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar, stats_config};
use serde_json::{Value, json};

fn example() -> Value {
    let text = include_str!("../../../envoy-config/envoy/server-sidecar.yaml");
    serde_yaml_ng::from_str(text).unwrap()
}

/// The properties that decide which callers are served: in order, each chain's match, whether it terminates TLS and
/// requires a client certificate, and its last filter.
fn chains(listener: &Value, port: u16) -> Vec<Value> {
    let chains = listener["filter_chains"].as_array().unwrap();
    let shape = chains.iter().map(|chain| {
        let mut matching = chain["filter_chain_match"].clone();
        if let Some(destination) = matching.get_mut("destination_port") {
            assert_eq!(destination, port, "{}", listener["name"]);
            *destination = json!("its own");
        }
        let tls = &chain["transport_socket"]["typed_config"];
        json!({
            "match": matching,
            "tls": tls["@type"],
            "requires a certificate": tls["require_client_certificate"],
            "alpn": tls["common_tls_context"]["alpn_protocols"],
            "ends in": chain["filters"].as_array().unwrap().last().unwrap()["name"],
        })
    });
    shape.collect()
}

fn inspectors(listener: &Value) -> Vec<&Value> {
    listener["listener_filters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|filter| &filter["name"])
        .collect()
}

#[test]
fn the_examples_listeners_have_the_chains_of_the_proof() {
    let app = (Ipv4Addr::LOCALHOST, 1).into();
    let example = example();
    let documented = example["static_resources"]["listeners"].as_array().unwrap();
    let expected = [
        (8080, Port::declared(Protocol::Http, app).unwrap()),
        (9000, Port::declared(Protocol::Tcp, app).unwrap()),
        (7000, Port::declared(Protocol::Auto, app).unwrap()),
        (7777, Port::undeclared(app).unwrap()),
    ];
    assert_eq!(documented.len(), expected.len());
    for (listener, (number, port)) in documented.iter().zip(expected) {
        assert_eq!(listener["address"]["socket_address"]["port_value"], number);
        let proof = Sidecar::new(Mode::Permissive, vec![port.clone()])
            .unwrap()
            .listeners();
        let [proof] = proof.as_slice() else {
            panic!("one port, one listener")
        };
        assert_eq!(
            chains(listener, number),
            chains(proof, port.number()),
            "port {number}"
        );
        assert_eq!(inspectors(listener), inspectors(proof), "port {number}");
        assert_eq!(listener["traffic_direction"], proof["traffic_direction"]);
    }
}

#[test]
fn plainsight_is_the_first_filter_of_every_chain_and_connection_manager_of_the_example() {
    let example = example();
    for listener in example["static_resources"]["listeners"].as_array().unwrap() {
        for chain in listener["filter_chains"].as_array().unwrap() {
            assert_eq!(
                chain["filters"][0]["name"], "plainsight",
                "{}",
                chain["name"]
            );
            let last = chain["filters"].as_array().unwrap().last().unwrap();
            if last["name"] == "envoy.filters.network.http_connection_manager" {
                assert_eq!(
                    last["typed_config"]["http_filters"][0]["name"], "plainsight",
                    "{}",
                    chain["name"]
                );
            }
        }
    }
}

#[test]
fn the_examples_stats_are_those_of_a_stock_sidecar() {
    assert_eq!(example()["stats_config"], stats_config());
}
