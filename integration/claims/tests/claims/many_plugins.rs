//! More root contexts in one VM than any realistic sidecar has: each works as if it were alone.

use plainsight_harness::app::App;
use plainsight_harness::callers::Caller;
use plainsight_harness::envoy::{Configuration, Envoy};
use plainsight_harness::shapes::{Mode, Port, Protocol, Sidecar};
use serde_json::{Value, json};

use crate::scene::{ATTRIBUTE_ERRORS, CONNECTIONS, HEADER, LAST_SEEN, REQUESTS, plaintext_from};

/// Gives the plugins of each listener their own root id, and so their own root context.
struct OwnRootIds(Sidecar);

impl Configuration for OwnRootIds {
    fn bootstrap(&self) -> Value {
        self.0.bootstrap()
    }
    fn listeners(&self) -> Vec<Value> {
        let mut sidecar = self.0.clone();
        let one_by_one = self.0.ports.iter().map(|port| {
            sidecar.ports = vec![port.clone()];
            let plugins = sidecar.network_plugins.iter_mut();
            for plugin in plugins.chain(&mut sidecar.http_plugins) {
                plugin.root_id = format!("{} of {}", plugin.name, port.number());
            }
            sidecar.listeners().remove(0)
        });
        one_by_one.collect()
    }
    fn concurrency(&self) -> u32 {
        1
    }
}

const PORTS: usize = 40;

#[tokio::test]
async fn eighty_root_contexts_are_all_served() {
    let app = App::start().await.unwrap();
    let ports: Vec<_> = (0..PORTS)
        .map(|_| Port::declared(Protocol::Http, app.address()).unwrap())
        .collect();
    let sidecar = Sidecar::new(Mode::Permissive, ports.clone())
        .unwrap()
        .with_plainsight(json!({}))
        .unwrap();
    let envoy = Envoy::start(&OwnRootIds(sidecar)).await.unwrap();
    for (at, port) in ports.iter().enumerate() {
        let caller = Caller::http1("127.0.0.2").with_header(HEADER, "mutual_tls;strict=allow");
        let reply = caller.call(port.address()).await.unwrap();
        assert_eq!(
            reply.header_seen_by_app(HEADER),
            [plaintext_from("127.0.0.2")],
            "port {at} of {PORTS}"
        );
    }
    let scrape = envoy.scrape().await.unwrap();
    for metric in [CONNECTIONS, REQUESTS] {
        assert_eq!(
            (scrape.count(metric, &[]), scrape.sum(metric, &[])),
            (PORTS, PORTS as f64),
            "{:#?}",
            scrape.plainsight()
        );
    }
    assert_eq!(scrape.count(LAST_SEEN, &[]), PORTS);
    assert_eq!(scrape.sum(ATTRIBUTE_ERRORS, &[]), 0.0);
}
