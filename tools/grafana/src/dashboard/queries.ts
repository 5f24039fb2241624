/**
 * Label matchers and expressions shared by several panels. docs/rules.md describes the series and labels.
 *
 * `All` is `.*`, which also matches an absent label, so the dashboard works without a `cluster` label.
 */

/** Matchers for namespaces, whose label set has no workload. */
export const inNamespace = 'cluster=~"$cluster", destination_workload_namespace=~"$namespace"';

/** Workloads and ports. */
export const inWorkload = `${inNamespace}, destination_workload=~"$workload"`;

/** Callers, by their name too. */
export const ofCaller = `${inWorkload}, caller=~"$caller"`;

/** Raw series, known by the pod's own namespace. Series with `tag` were scraped without the relabelling. */
export const ofPod = 'cluster=~"$cluster", namespace=~"$namespace", tag=""';

/** Readiness for the window and the way of counting. The variables' values are seconds and a regex; their texts are the rules' labels. */
export const asked = 'window="${window:text}", counted="${counted:text}"';

const namespaceLabels = 'cluster, destination_workload_namespace';
const workloadLabels = `${namespaceLabels}, destination_workload`;
const portLabels = `${workloadLabels}, destination_port`;

/** The subjects of readiness. */
export type Subject = 'namespace' | 'workload' | 'port';

/** The labels of each subject. */
export const labelsOf: Record<Subject, string> = { namespace: namespaceLabels, workload: workloadLabels, port: portLabels };

/** The labels that identify a row of a caller table. */
export const callerLabels = `caller, caller_kind, source_ip, ${portLabels}, peer, traffic`;

const rejected = `plainsight:caller:last_seen_timestamp_seconds{${ofCaller}, strict="reject", traffic=~"$counted"}`;

/** Last-seen times of callers that STRICT would break, within the window. Ports that are exempt now do not block. */
export const blocking = `(${rejected} > time() - $window unless on (${portLabels}) plainsight:port:exempt)`;

/** The same callers, if seen within the window but not in the last hour. */
export const quiet = `(${rejected} > time() - $window <= time() - 3600)`;

/** Readiness as one number: 1 ready, 0 blocked by callers, 2 not blocked but not proven either. */
export function stateOf(subject: Subject): string {
  const matchers = `${subject === 'namespace' ? inNamespace : inWorkload}, ${asked}`;
  const ready = `plainsight:${subject}:ready{${matchers}}`;
  return `max by (${labelsOf[subject]}) (${ready} + 2 * (${ready} == bool 0) * (plainsight:${subject}:blocking_callers{${matchers}} == bool 0))`;
}

/** The number of blocking callers. */
export function blockingCallers(subject: Subject): string {
  return `max by (${labelsOf[subject]}) (plainsight:${subject}:blocking_callers{${subject === 'namespace' ? inNamespace : inWorkload}, ${asked}})`;
}

/** The last time a caller that STRICT would break was seen, regardless of the window, in milliseconds. */
export function lastBlocking(subject: Subject): string {
  return `max by (${labelsOf[subject]}) (plainsight:caller:last_seen_timestamp_seconds{${inWorkload}, strict="reject", traffic=~"$counted"}) * 1000`;
}

/** Pods whose filter reports, of those with a sidecar: 1 is full coverage. */
export function coverage(subject: 'namespace' | 'workload'): string {
  const sum = (what: string) => `sum by (${labelsOf[subject]}) (plainsight:workload:${what}{${inWorkload}})`;
  return `${sum('pods_reporting')} / ${sum('pods')}`;
}

/** The time since which all pods of all workloads report, in milliseconds; absent while one does not. */
export function provenSince(subject: 'namespace' | 'workload'): string {
  const since = `plainsight:workload:reporting_since_timestamp_seconds{${inWorkload}}`;
  return (
    `max by (${labelsOf[subject]}) (${since}) * 1000 and on (${labelsOf[subject]}) ` +
    `count by (${labelsOf[subject]}) (${since}) >= on (${labelsOf[subject]}) count by (${labelsOf[subject]}) (plainsight:workload:pods{${inWorkload}})`
  );
}
