/** After the switch to STRICT: rejected callers, and callers that stopped calling. */
import { ago, caller, count, namespace, port, speaks, workload } from './columns.js';
import { graph, noneIsGood, table, type Section } from './panels.js';
import { callerLabels, ofCaller, quiet } from './queries.js';

const failures = `plainsight:caller:handshake_failures:increase15m{${ofCaller}}`;

/** Failed handshakes, and plaintext callers, whose only trace after the switch is their silence. */
export const rejected: Section = {
  title: 'After the switch to STRICT: who was turned away',
  panels: [
    graph({
      title: 'Failed TLS handshakes by caller',
      description: 'TLS handshakes without a valid client certificate, in the 15 minutes before each point. Rejected plaintext is not included, because Envoy closes it before any filter runs. Always empty before Envoy 1.37, which reports no reason.',
      w: 8,
      h: 7,
      unit: 'none',
      noValue: 'no failed handshake within the time range',
      style: 'line',
      lines: [[`topk(10, sum by (caller, destination_workload_namespace, destination_workload) (${failures}))`, '{{caller}} → {{destination_workload_namespace}}/{{destination_workload}}']],
    }),
    table({
      title: 'Callers turned away',
      description: 'Max number of failed TLS handshakes in any 15 minutes of the time range, by caller.',
      w: 8,
      h: 7,
      unit: 'none',
      noValue: 'no failed handshake within the time range',
      thresholds: noneIsGood('orange'),
      queries: [`max by (cluster, caller, caller_kind, source_ip, destination_workload_namespace, destination_workload, destination_port) (max_over_time(${failures}[$__range]))`],
      sort: { field: 'In 15 minutes', desc: true },
      columns: [caller, namespace, workload, port, count('Value', 'In 15 minutes')],
    }),
    table({
      title: 'Callers that stopped calling',
      description: 'Callers that STRICT would break, seen within the window but not in the last hour. After a switch these are the rejected plaintext callers, unless they joined the mesh or call rarely.',
      w: 8,
      h: 7,
      unit: 'none',
      noValue: 'no caller stopped within the window',
      queries: [`max by (${callerLabels}) (${quiet}) * 1000`],
      sort: { field: 'Last seen', desc: true },
      columns: [caller, speaks, namespace, workload, port, ago('Value', 'Last seen')],
    }),
  ],
};
