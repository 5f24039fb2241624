/** After the switch to STRICT: who is being turned away, and who has fallen silent? */
import { ago, caller, count, namespace, port, speaks, workload } from './columns.js';
import { graph, lines, noneIsBest, rows, table, type Section } from './layout.js';
import { ofCaller } from './selectors.js';
import { goneQuiet } from './trend.js';

const failures = `plainsight:caller:handshake_failures:increase1m{${ofCaller}}`;

/** Failed handshakes as a curve and by caller, and the callers that a closed door leaves no other trace of. */
export const rejected: Section = {
  title: 'After the switch to STRICT: who was turned away',
  lines: [
    {
      h: 7,
      panels: [
        graph({
          title: 'Failed TLS handshakes by caller',
          description:
            'TLS handshakes per minute that ended without a valid client certificate: after a switch to STRICT, callers with TLS of their own that are now turned away. Plaintext is closed by Envoy before any filter runs, so it cannot be here; see the table on the right.',
          w: 8,
          unit: 'cpm',
          noValue: 'nobody turned away in this window',
          style: 'bars',
          queries: [
            lines(
              'A',
              `topk(10, sum by (caller, destination_workload_namespace, destination_workload) (avg_over_time(${failures}[$__rate_interval])) > 0)`,
              '{{caller}} → {{destination_workload_namespace}}/{{destination_workload}}',
            ),
          ],
        }),
        table({
          title: 'Callers turned away',
          description: 'Failed TLS handshakes of each caller within the time range of the dashboard.',
          w: 8,
          unit: 'none',
          noValue: 'nobody turned away in this window',
          thresholds: noneIsBest,
          queries: [
            rows(
              'A',
              `sum by (cluster, caller, caller_kind, source_ip, destination_workload_namespace, destination_workload, destination_port) (sum_over_time(${failures}[$__range])) > 0`,
            ),
          ],
          sort: { field: 'Failed handshakes', desc: true },
          columns: [caller, namespace, workload, port, count('Value', 'Failed handshakes')],
        }),
        table({
          title: 'Callers that fell silent',
          description:
            'Callers that STRICT would break, seen within the window but not in the last hour. After a switch to STRICT these are the plaintext callers that are turned away now, unless they moved into the mesh or call rarely.',
          w: 8,
          unit: 'none',
          noValue: 'no caller fell silent in this window',
          queries: [rows('A', goneQuiet)],
          sort: { field: 'Last seen', desc: true },
          columns: [caller, speaks, namespace, workload, port, ago('Value', 'Last seen')],
        }),
      ],
    },
  ],
};
