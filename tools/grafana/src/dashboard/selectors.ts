/**
 * The label matchers every query carries, so that each variable filters each panel.
 *
 * The series and their labels are those of `docs/rules.md`. `All` is `.*`, which also matches an absent label: a
 * Prometheus without a `cluster` label needs no other dashboard.
 */

/** Namespaces: no workload in their label set. */
export const inNamespace = 'cluster=~"$cluster", destination_workload_namespace=~"$namespace"';

/** Workloads, ports and callers: the destination's side. */
export const inWorkload = `${inNamespace}, destination_workload=~"$workload"`;

/** Callers, by their name too. */
export const ofCaller = `${inWorkload}, caller=~"$caller"`;

/** Pods that carry the filter: they are known by their own namespace. */
export const ofPod = 'cluster=~"$cluster", namespace=~"$namespace"';

/** Readiness within the chosen window, with or without probes and scrapes. */
export const asked = 'window="$window", counted="$counted"';

/** Callers that STRICT would break, within the chosen window. */
export const blocking = `plainsight:caller:blocking{${ofCaller}, window="$window", traffic=~"$counted"}`;

/** What tells one row of a caller table from the next. */
export const callerLabels =
  'cluster, caller, caller_kind, source_ip, destination_workload_namespace, destination_workload, destination_port, peer';
