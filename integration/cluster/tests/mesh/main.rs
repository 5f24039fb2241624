//! Verdicts, delivery and labels with istiod, its agent and a real Envoy, in one cluster.

mod delivery;
mod denied;
mod exception;
mod labels;
mod proof;

use std::process::ExitCode;

use plainsight_cluster::cluster::Parts;
use plainsight_cluster::{suite, tests};

fn main() -> ExitCode {
    let parts = Parts {
        registry: true,
        ..Parts::default()
    };
    suite::run(
        parts,
        tests![
            delivery::every_scope_brings_the_filter_to_every_port_and_its_removal_takes_it_away,
            delivery::traffic_extension_brings_the_same_filter,
            delivery::from_the_canary_on_nothing_drains_while_the_plugins_stay_in_their_namespace,
            delivery::from_a_canary_of_the_mesh_to_the_mesh_nothing_drains,
            delivery::the_scrape_job_takes_the_filters_series_and_no_others,
            delivery::another_workload_of_the_namespace_is_left_alone,
            delivery::the_agent_fetches_the_module_by_digest_from_the_registry,
            delivery::a_wrong_digest_leaves_the_traffic_alone_and_the_right_one_repairs_it,
            delivery::a_wrong_digest_denies_all_traffic_under_another_fail_strategy,
            denied::what_a_deny_policy_refuses_is_counted_on_http_and_tcp_ports,
            denied::what_a_custom_policy_refuses_is_counted_as_a_connection_only,
            exception::an_exempt_port_reads_exempt_and_stays_open_under_strict,
            labels::all_labels_are_in_one_on_a_stock_sidecar,
            proof::every_verdict_comes_true_with_istiods_own_listeners,
        ],
    )
}
