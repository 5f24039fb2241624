//! `callers`: the operator's names for address blocks.

use plainsight_harness::callers::Caller;
use serde_json::json;

use crate::scene::{CONFIG_ERRORS, CONNECTIONS, Scene};

#[tokio::test]
async fn the_longest_prefix_names_a_caller_and_an_ipv4_mapped_block_counts_as_ipv4() {
    let scene = Scene::start(json!({"callers": [
        {"cidr": "127.0.0.0/8", "name": "all"},
        {"cidr": "::ffff:127.0.5.0/120", "name": "mapped"},
        {"cidr": "127.0.5.7/32", "name": "one"},
        {"cidr": "::1/128", "name": "six"},
    ]}))
    .await;
    let callers = [
        ("127.0.0.2", "all"),
        ("127.0.5.2", "mapped"),
        ("127.0.5.7", "one"),
        ("::1", "six"),
    ];
    for (source, _) in callers {
        let caller = Caller::bytes(source);
        let to = scene.tcp.address_for(caller.source);
        caller.call(to).await.unwrap();
    }
    let scrape = scene.counted(CONNECTIONS, &[], 4.0).await;
    for (source, name) in callers {
        assert_eq!(
            scrape.sum(CONNECTIONS, &[("source_ip", source), ("source_name", name)]),
            1.0,
            "{source} is {name}: {:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(
        scrape.sum(CONFIG_ERRORS, &[]),
        0.0,
        "{}",
        scene.envoy.log_tail()
    );
}
