//! `traffic` is decided per connection, and application requests are never hidden as probes.

use plainsight_wasm_host::{Accepted, Connection, Request, Sidecar};

const HERE: &str = "10.1.0.1:8080";
const REQUESTS: &str = "plainsight_requests_total";
const READ_HEADER: &str = "proxy_get_header_map_value";

fn connected() -> (Sidecar, Accepted) {
    let mut sidecar = Sidecar::start("{}").unwrap();
    let caller = Connection::plaintext("10.0.0.7:40000", HERE);
    let accepted = sidecar.connect(&caller).unwrap();
    (sidecar, accepted)
}

/// Requests of these User-Agents on one connection; the counts of `app`, `probe` and `scrape`.
fn counted(agents: &[&str]) -> [i64; 3] {
    let (mut sidecar, accepted) = connected();
    for agent in agents {
        sidecar.ask(accepted, &Request::get(agent)).unwrap();
    }
    let scrape = sidecar.scrape().unwrap();
    ["app", "probe", "scrape"].map(|traffic| scrape.sum(REQUESTS, &[("traffic", traffic)]))
}

#[test]
fn the_first_request_decides() {
    assert_eq!(counted(&["curl/8.5"]), [1, 0, 0]);
    assert_eq!(counted(&["kube-probe/1.34"]), [0, 1, 0]);
    assert_eq!(counted(&["Prometheus/3.5.0"]), [0, 0, 1]);
}

#[test]
fn an_application_connection_stays_app_and_its_user_agent_is_read_once() {
    assert_eq!(
        counted(&["curl/8.5", "kube-probe/1.34", "Prometheus/3.5.0"]),
        [3, 0, 0]
    );
    let (mut sidecar, accepted) = connected();
    for _ in 0..10 {
        sidecar.ask(accepted, &Request::get("curl/8.5")).unwrap();
    }
    assert_eq!(sidecar.vm.tally().calls[READ_HEADER], 1);
}

#[test]
fn a_probe_connection_becomes_app_for_good_with_its_first_application_request() {
    let agents = [
        "kube-probe/1.34",
        "kube-probe/1.34",
        "curl/8.5",
        "kube-probe/1.34",
    ];
    assert_eq!(counted(&agents), [2, 2, 0]);
    let (mut sidecar, accepted) = connected();
    for agent in agents.iter().chain(&["kube-probe/1.34"; 5]) {
        sidecar.ask(accepted, &Request::get(agent)).unwrap();
    }
    // Read on every request up to the first application request, and never again.
    assert_eq!(sidecar.vm.tally().calls[READ_HEADER], 3);
}

#[test]
fn a_request_without_a_user_agent_is_app() {
    let (mut sidecar, accepted) = connected();
    let mut request = Request::get("");
    request.headers.retain(|(name, _)| name != b"user-agent");
    sidecar.ask(accepted, &request).unwrap();
    let scrape = sidecar.scrape().unwrap();
    assert_eq!(scrape.sum(REQUESTS, &[("traffic", "app")]), 1);
}
