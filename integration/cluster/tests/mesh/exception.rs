//! `portLevelMtls` with `exempt`: the port reads `exempt` before the switch, and stays open after it.

use plainsight_cluster::cluster::{Cluster, caller_address};
use plainsight_cluster::stage::Stage;
use plainsight_cluster::strict;
use plainsight_cluster::workload::Port;
use plainsight_harness::callers::Caller;
use plainsight_harness::eventually::eventually;
use plainsight_harness::pki::Mesh;
use serde_json::json;

pub async fn an_exempt_port_reads_exempt_and_stays_open_under_strict(cluster: &Cluster) {
    let stage = Stage::without_filter(cluster)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    let exemptions = json!([
        {"port": 9000, "namespace": stage.namespace},
        {"port": 8080, "namespace": "other"},
    ]);
    let values = stage.canary_values(json!({"exemptions": exemptions}));
    stage.install(values).await.unwrap();
    stage
        .until_the_filter_counts()
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(Port::Tcp.number(), 9000, "the port of the exemption");
    let plain = Caller::bytes(&caller_address(1).to_string());
    let identity = cluster.authority.spiffe(Mesh::CLIENT).unwrap();
    let mutual = Caller::bytes(&caller_address(2).to_string()).over_mesh(&identity);
    let verdicts = |times: f64| {
        let stage = &stage;
        async move {
            let address = caller_address(1).to_string();
            eventually("verdicts", || async {
                let scrape = stage.pod.scrape().await?;
                let count = |port: Port, labels: &[(&str, &str)]| {
                    let number = port.number().to_string();
                    let mut labels = labels.to_vec();
                    labels.push(("destination_port", &number));
                    scrape.sum("plainsight_connections_total", &labels)
                };
                let exempt = count(Port::Tcp, &[("source_ip", &address), ("strict", "exempt")]);
                // The exemption of another namespace must not reach this one.
                let others = count(Port::Tcp, &[("strict", "reject")])
                    + count(Port::Http, &[("strict", "exempt")])
                    + count(Port::Auto, &[("strict", "exempt")]);
                let mutual = count(Port::Tcp, &[("peer", "mutual_tls"), ("strict", "allow")]);
                anyhow::ensure!(
                    (exempt, others, mutual) == (times, 0.0, times),
                    "{:#?}",
                    scrape.plainsight()
                );
                Ok(())
            })
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        }
    };
    stage.call(&plain, Port::Tcp).await.unwrap();
    stage.call(&mutual, Port::Tcp).await.unwrap();
    verdicts(1.0).await;

    stage
        .declare(
            &strict::workload_except_port(&stage.namespace),
            Port::Http,
            false,
        )
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
    for port in [Port::Http, Port::Auto, Port::Undeclared] {
        stage
            .call_in_a_row(port, false)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
    stage.call(&plain, Port::Tcp).await.unwrap();
    stage.call(&mutual, Port::Tcp).await.unwrap();
    verdicts(2.0).await;
}
