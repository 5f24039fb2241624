/** Blocking callers: the table to work through. Callers on exempt ports have a separate table. */
import { address, ago, caller, cluster, kind, namespace, port, speaks, traffic, whatToDo, workload } from './columns.js';
import { table, type Section } from './panels.js';
import { blocking, callerLabels, ofCaller } from './queries.js';
import { withRunbook } from './runbook.js';

/** More rows are of no use. `topk` first: each function over all callers of a large mesh takes a second. */
const latest = `max by (${callerLabels}) (topk(500, ${blocking}))`;

/** Both tables of callers. */
export const callers: Section = {
  title: 'Who is in the way',
  panels: [
    table({
      title: 'Callers that STRICT would break',
      description:
        'One row per caller, called workload and port within the window, limited to the 500 seen last. Click a caller, namespace or workload to filter the dashboard; the last column links to the runbook. A caller appears two to seven minutes after its call, when kube-state-metrics shows its pod.',
      w: 24,
      h: 11,
      unit: 'none',
      noValue: 'no caller in the way within the window; see Readiness for whether that is proven',
      queries: [
        withRunbook(`${latest} * 1000`),
        `min by (${callerLabels}) (plainsight:caller:first_seen_timestamp_seconds{${ofCaller}, strict="reject"} and on (${callerLabels}) ${latest}) * 1000`,
      ],
      sort: { field: 'Last seen', desc: true },
      columns: [caller, kind, address, speaks, traffic, namespace, workload, port, ago('Value #A', 'Last seen'), ago('Value #B', 'First seen'), whatToDo, cluster],
    }),
    table({
      title: 'Callers on exempt ports',
      description:
        'Callers without mutual TLS on ports that are listed in exempt. They continue to work if the PeerAuthentication lists the same port under portLevelMtls, and they do not block a namespace.',
      w: 24,
      h: 5,
      unit: 'none',
      noValue: 'no caller on an exempt port in 40 days',
      queries: [`max by (${callerLabels}) (plainsight:caller:last_seen_timestamp_seconds{${ofCaller}, strict="exempt"}) * 1000`],
      sort: { field: 'Last seen', desc: true },
      columns: [caller, kind, address, speaks, traffic, namespace, workload, port, ago('Value', 'Last seen'), cluster],
    }),
  ],
};
