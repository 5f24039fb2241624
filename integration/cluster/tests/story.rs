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
    let mut transcript = Transcript::default();
    let outcome = match story(cluster, &mut transcript).await {
        Ok(story) => story.remove().await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
}
