//! Tmp.
use plainsight_cluster::cluster::{Cluster, Parts};
#[tokio::test]
async fn starts() {
    let t = std::time::Instant::now();
    let cluster = Cluster::start(Parts {
        registry: false,
        monitoring: std::env::var("M").is_ok(),
    })
    .await
    .unwrap_or_else(|e| panic!("{e:#}"));
    eprintln!("started in {:?}", t.elapsed());
    eprintln!(
        "{}",
        cluster
            .kubectl(&["get", "pods,nodes", "-A", "-o", "wide"], "")
            .await
            .unwrap()
    );
}
