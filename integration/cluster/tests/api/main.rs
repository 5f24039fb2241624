//! What only a real Kubernetes API and a real istiod can refute, in one cluster.

mod command;
mod coverage;
mod istiod;
mod modes;
mod plan;
mod prometheus;
mod revisions;
mod rights;
mod upgrade;
mod validation;

use std::process::ExitCode;

use plainsight_cluster::cluster::Parts;
use plainsight_cluster::{suite, tests};

fn main() -> ExitCode {
    let parts = Parts {
        registry: true,
        monitoring: true,
    };
    suite::run(
        parts,
        tests![
            modes::the_mode_of_every_combination_is_istiods,
            plan::a_plan_is_accepted_keeps_its_promise_and_is_rolled_back,
            validation::the_api_accepts_every_rendering_and_every_documented_object,
            validation::the_api_refuses_what_is_broken_on_purpose,
            validation::the_oldest_supported_release_knows_the_plugins,
            rights::the_charts_role_is_enough_and_nothing_else_is_asked,
            upgrade::each_upgrade_adds_and_removes_exactly_what_the_values_say,
            coverage::coverage_and_names_survive_rollouts_and_restarts,
            coverage::pods_that_had_one_address_one_after_another_keep_their_calls,
            prometheus::evidence_survives_the_called_pod_and_a_restart_of_prometheus,
            revisions::the_charts_plugins_reach_the_sidecars_of_both_revisions,
            revisions::without_istiod_sidecars_serve_and_the_filter_counts,
        ],
    )
}
