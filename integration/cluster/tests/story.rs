//! The whole migration in a real cluster; what it checks is in `plainsight_cluster::story`.

use std::process::ExitCode;

use plainsight_cluster::cluster::{Cluster, Parts};
use plainsight_cluster::story::{Transcript, story};
use plainsight_cluster::{suite, tests};

fn main() -> ExitCode {
    let parts = Parts {
        registry: true,
        monitoring: true,
    };
    suite::run(parts, tests![from_permissive_to_strict_and_back])
}

async fn from_permissive_to_strict_and_back(cluster: &Cluster) {
    story(cluster, &mut Transcript::default())
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}
