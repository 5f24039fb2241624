/** Which namespace, workload and port can go STRICT, and since when it has been quiet. */
import { ago, cluster, count, each, namespace, port, state, stateOf, workload } from './columns.js';
import { rows, table, type Section } from './layout.js';
import { asked, inNamespace, inWorkload } from './selectors.js';

const nobody = 'the filter reports nothing here';

const quietSince = (subject: 'namespace' | 'workload' | 'port', matchers: string) =>
  `plainsight:${subject}:last_blocking_timestamp_seconds{${matchers}, counted="$counted"} * 1000`;

/** Three tables, from the namespace down to the port. */
export const readiness: Section = {
  title: 'Readiness',
  lines: [
    {
      h: 7,
      panels: [
        table({
          title: 'Namespaces',
          description:
            'Ready: nobody in the way within the window, and the filter was reporting throughout it on every workload. A click filters the dashboard.',
          w: 10,
          unit: 'none',
          noValue: nobody,
          queries: [
            rows('A', each('namespace', stateOf('namespace', `${inNamespace}, ${asked}`))),
            rows('B', each('namespace', `plainsight:namespace:blocking_callers{${inNamespace}, ${asked}}`)),
            rows('C', each('namespace', quietSince('namespace', inNamespace))),
          ],
          sort: { field: 'Callers', desc: true },
          columns: [namespace, state('Value #A'), count('Value #B', 'Callers'), ago('Value #C', 'Last plaintext'), cluster],
        }),
        table({
          title: 'Workloads',
          description:
            'The same for each workload: STRICT can be switched on workload by workload. Without mTLS: the share of the last hour’s connections that were not mutual TLS. Reporting since: the filter has sent its numbers without a gap of more than 15 minutes since then; ready needs a whole window of that.',
          w: 14,
          unit: 'none',
          noValue: nobody,
          queries: [
            rows('A', each('workload', stateOf('workload', `${inWorkload}, ${asked}`))),
            rows('B', each('workload', `plainsight:workload:blocking_callers{${inWorkload}, ${asked}}`)),
            rows('C', each('workload', quietSince('workload', inWorkload))),
            rows('D', each('workload', `plainsight:workload:without_mtls:ratio1h{${inWorkload}}`)),
            rows('E', each('workload', `plainsight:workload:reporting_since_timestamp_seconds{${inWorkload}} * 1000`)),
          ],
          sort: { field: 'Callers', desc: true },
          columns: [
            namespace,
            workload,
            state('Value #A'),
            count('Value #B', 'Callers'),
            ago('Value #C', 'Last plaintext'),
            {
              from: 'Value #D',
              to: 'Without mTLS',
              properties: [
                { id: 'unit', value: 'percentunit' },
                { id: 'min', value: 0 },
                { id: 'max', value: 1 },
                { id: 'thresholds', value: { mode: 'absolute', steps: [{ color: 'green', value: null }, { color: 'orange', value: 0.000001 }, { color: 'red', value: 0.5 }] } },
                { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' } },
              ],
            },
            ago('Value #E', 'Reporting since'),
            cluster,
          ],
        }),
      ],
    },
    {
      h: 7,
      panels: [
        table({
          title: 'Ports',
          description:
            'The same for each port. A workload held back by one port only can go STRICT with that port exempt: portLevelMtls in its PeerAuthentication, exemptPorts in the filter. Open now: connections without mutual TLS open at this moment.',
          w: 24,
          unit: 'none',
          noValue: nobody,
          queries: [
            rows('A', each('port', stateOf('port', `${inWorkload}, ${asked}`))),
            rows('B', each('port', `plainsight:port:blocking_callers{${inWorkload}, ${asked}}`)),
            rows('C', each('port', quietSince('port', inWorkload))),
            rows('D', `sum by (cluster, destination_workload_namespace, destination_workload, destination_port) (plainsight:port:active_connections{${inWorkload}})`),
          ],
          sort: { field: 'Callers', desc: true },
          columns: [
            namespace,
            workload,
            port,
            state('Value #A'),
            count('Value #B', 'Callers'),
            ago('Value #C', 'Last plaintext'),
            count('Value #D', 'Open now'),
            cluster,
          ],
        }),
      ],
    },
  ],
};
