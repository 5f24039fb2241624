/**
 * The label matchers and expressions that several panels share. Series and labels are those of docs/rules.md.
 *
 * `All` is `.*`, which also matches an absent label: a Prometheus without a `cluster` label needs no other dashboard.
 */

/** Namespaces: no workload in their label set. */
export const inNamespace = 'cluster=~"$cluster", destination_workload_namespace=~"$namespace"';

/** Workloads and ports. */
export const inWorkload = `${inNamespace}, destination_workload=~"$workload"`;

/** Callers, by their name too. */
export const ofCaller = `${inWorkload}, caller=~"$caller"`;

/** Raw series, known by the pod's own namespace. Series with `tag` were scraped without the relabelling. */
export const ofPod = 'cluster=~"$cluster", namespace=~"$namespace", tag=""';

/** Readiness for the window and the way of counting. The values are seconds and a regex; the rules' labels are the texts. */
export const asked = 'window="${window:text}", counted="${counted:text}"';

const namespaceLabels = 'cluster, destination_workload_namespace';
const workloadLabels = `${namespaceLabels}, destination_workload`;
const portLabels = `${workloadLabels}, destination_port`;

/** What readiness is computed for. */
export type Subject = 'namespace' | 'workload' | 'port';

/** The labels of each subject. */
export const labelsOf: Record<Subject, string> = { namespace: namespaceLabels, workload: workloadLabels, port: portLabels };

/** What distinguishes two rows of a caller table. */
export const callerLabels = `caller, caller_kind, source_ip, ${portLabels}, peer, traffic`;

const rejected = `plainsight:caller:last_seen_timestamp_seconds{${ofCaller}, strict="reject", traffic=~"$counted"}`;

/** Callers that STRICT would break, seen within the window, as last seen. Ports that are exempt now do not block. */
export const blocking = `(${rejected} > time() - $window unless on (${portLabels}) plainsight:port:exempt)`;

/** The same, seen within the window and not in the last hour. */
export const quiet = `(${rejected} > time() - $window <= time() - 3600)`;

/** Readiness as one number: 1 ready, 0 callers in the way, 2 no caller in the way but not proven either. */
export function stateOf(subject: Subject): string {
  const matchers = `${subject === 'namespace' ? inNamespace : inWorkload}, ${asked}`;
  const ready = `plainsight:${subject}:ready{${matchers}}`;
  return `max by (${labelsOf[subject]}) (${ready} + 2 * (${ready} == bool 0) * (plainsight:${subject}:blocking_callers{${matchers}} == bool 0))`;
}

/** The number of callers in the way. */
export function blockingCallers(subject: Subject): string {
  return `max by (${labelsOf[subject]}) (plainsight:${subject}:blocking_callers{${subject === 'namespace' ? inNamespace : inWorkload}, ${asked}})`;
}

/** The last time a caller that STRICT would break was seen, whatever the window, in milliseconds. */
export function lastBlocking(subject: Subject): string {
  return `max by (${labelsOf[subject]}) (plainsight:caller:last_seen_timestamp_seconds{${inWorkload}, strict="reject", traffic=~"$counted"}) * 1000`;
}

/** Pods whose filter reports, of those with a sidecar: 1 is full coverage. */
export function coverage(subject: 'namespace' | 'workload'): string {
  const sum = (what: string) => `sum by (${labelsOf[subject]}) (plainsight:workload:${what}{${inWorkload}})`;
  return `${sum('pods_reporting')} / ${sum('pods')}`;
}

/** Since when all pods of all workloads have reported, in milliseconds; absent while one does not. */
export function provenSince(subject: 'namespace' | 'workload'): string {
  const since = `plainsight:workload:reporting_since_timestamp_seconds{${inWorkload}}`;
  return (
    `max by (${labelsOf[subject]}) (${since}) * 1000 and on (${labelsOf[subject]}) ` +
    `count by (${labelsOf[subject]}) (${since}) >= on (${labelsOf[subject]}) count by (${labelsOf[subject]}) (plainsight:workload:pods{${inWorkload}})`
  );
}
