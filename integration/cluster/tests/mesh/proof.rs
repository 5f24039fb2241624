//! The proof with istiod's own listeners: every kind of caller calls under PERMISSIVE, the filter reports who would break,
//! the namespace becomes STRICT, the same callers call again. Every verdict must come true, except for
//! [`proof::Kind::is_exception`].

use anyhow::ensure;
use plainsight_cluster::cluster::{Cluster, caller_address};
use plainsight_cluster::stage::Stage;
use plainsight_cluster::strict;
use plainsight_cluster::workload::Port;
use plainsight_harness::eventually::eventually;
use plainsight_harness::pki::Authority;
use plainsight_harness::proof::{
    self, Counted, Fact, Kind, Place, Row, check, kinds, markdown, principal, verdict,
};

const HEAD: &str = "<!-- Written by make docs ONLY=istio-proof. -->
# The proof with istiod's own listeners

istiod, its agent and its iptables of Istio 1.31, built from the Go module; the stock Envoy as the sidecar; the
plugins of the chart's canary, the image fetched by the agent from a registry by digest.
Every kind of caller calls without any PeerAuthentication; then the namespace becomes STRICT, and the
same callers call again. HTTP, TCP and auto are ports of a Service, the last one without a protocol; the undeclared
port is in none.
";

fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap()
}

fn port(place: Place) -> Port {
    match place {
        Place::Http => Port::Http,
        Place::Tcp => Port::Tcp,
        Place::Auto => Port::Auto,
        Place::Undeclared => Port::Undeclared,
        Place::Exempt | Place::OwnTls | Place::Hbone => panic!("{place:?}: only among the shapes"),
    }
}

async fn call_all(stage: &Stage<'_>, kinds: &[Kind], foreign: &Authority) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (index, &kind) in kinds.iter().enumerate() {
        let number = number(index);
        let (source, to) = (caller_address(number), stage.address(port(kind.place)));
        let authority = &stage.cluster.authority;
        let caller = kind.caller(source, number, authority, foreign).unwrap();
        let call = stage
            .cluster
            .outside(async move { kind.call(&caller, to).await });
        facts.push(call.await.unwrap());
    }
    facts
}

pub async fn every_verdict_comes_true_with_istiods_own_listeners(cluster: &Cluster) {
    let kinds = kinds(proof::Stage::Istiod);
    let foreign = Authority::new("foreign").unwrap();
    let stage = Stage::start(cluster, serde_json::json!({"config": {"principals": true}}))
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));

    let permissive = call_all(&stage, &kinds, &foreign).await;
    // A failed handshake is counted when Envoy closes the connection, a moment after the caller sees it.
    let verdicts = eventually("verdicts", || async {
        let scrape = stage.pod.scrape().await?;
        let mut verdicts = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let source = caller_address(number(index));
            let port = port(kind.place).number().to_string();
            let verdict = verdict(&scrape, &port, source, Some(&principal(number(index))))?;
            let labels = verdict.as_ref().map(|(peer, strict)| (&**peer, &**strict));
            let expected = kind.labels(kind.permissive);
            ensure!(labels == expected, "{kind}: {labels:?}");
            let failures = scrape.sum(
                "plainsight_handshake_failures_total",
                &[("source_ip", &source.to_string())],
            );
            let fails = kind.permissive == Counted::HandshakeFailure;
            ensure!(
                failures == f64::from(u8::from(fails)),
                "{kind}: {failures} failed handshakes"
            );
            verdicts.push(verdict);
        }
        Ok(verdicts)
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}"));

    stage
        .declare(&strict::namespace(&stage.namespace), Port::Http, false)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let strict = call_all(&stage, &kinds, &foreign).await;

    let rows: Vec<_> = kinds
        .into_iter()
        .zip(verdicts)
        .zip(permissive.into_iter().zip(strict))
        .map(|((kind, verdict), (permissive, strict))| Row {
            kind,
            verdict,
            permissive,
            strict,
        })
        .collect();
    assert_eq!(check(&rows), [""; 0]);
    if let Some(file) = std::env::var_os("PLAINSIGHT_ISTIO_PROOF") {
        std::fs::write(file, markdown(HEAD, &rows)).unwrap();
    }
}
