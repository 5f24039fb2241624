/** Which namespace, workload and port can go STRICT, with the evidence. */
import { ago, cluster, count, covered, namespace, port, state, workload } from './columns.js';
import { noRules, table, type Section } from './panels.js';
import { blockingCallers, coverage, lastBlocking, provenSince, stateOf } from './queries.js';

const evidence =
  'Ready: no caller in the way within the window, and every pod with a sidecar reported throughout it. Proven since: all pods have reported since then without a gap of more than 15 minutes; a window is proven if it starts after that time. A monthly job needs 35d.';

/** From the namespace down to the port. */
export const readiness: Section = {
  title: 'Readiness',
  panels: [
    table({
      title: 'Namespaces',
      description: evidence,
      w: 12,
      h: 9,
      unit: 'none',
      noValue: noRules,
      queries: [stateOf('namespace'), blockingCallers('namespace'), coverage('namespace'), provenSince('namespace'), lastBlocking('namespace')],
      sort: { field: 'Callers', desc: true },
      columns: [
        namespace,
        state('Value #A'),
        count('Value #B', 'Callers'),
        covered('Value #C'),
        ago('Value #D', 'Proven since'),
        ago('Value #E', 'Last plaintext'),
        cluster,
      ],
    }),
    table({
      title: 'Workloads',
      description: `STRICT can be switched on workload by workload. ${evidence}`,
      w: 12,
      h: 9,
      unit: 'none',
      noValue: noRules,
      queries: [stateOf('workload'), blockingCallers('workload'), coverage('workload'), provenSince('workload')],
      sort: { field: 'Callers', desc: true },
      columns: [namespace, workload, state('Value #A'), count('Value #B', 'Callers'), covered('Value #C'), ago('Value #D', 'Proven since'), cluster],
    }),
    table({
      title: 'Ports',
      description:
        'A workload that is blocked by a single port can go STRICT with that port exempt: in portLevelMtls of its PeerAuthentication and in exempt of the filter’s configuration. Coverage and proof are per workload.',
      w: 24,
      h: 7,
      unit: 'none',
      noValue: noRules,
      queries: [stateOf('port'), blockingCallers('port'), lastBlocking('port')],
      sort: { field: 'Callers', desc: true },
      columns: [namespace, workload, port, state('Value #A'), count('Value #B', 'Callers'), ago('Value #C', 'Last plaintext'), cluster],
    }),
  ],
};
