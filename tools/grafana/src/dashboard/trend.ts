/** How it goes: does the share of plaintext fall, and does anybody new turn up? */
import { ago, caller, kind, namespace, port, speaks, workload } from './columns.js';
import { graph, lines, rows, table, type Section } from './layout.js';
import { blocking, callerLabels, inWorkload, ofCaller } from './selectors.js';

const added = (what: 'connections' | 'requests', more: string) =>
  `sum by (cluster, destination_workload_namespace) (sum_over_time(plainsight:port:${what}:increase1m{${inWorkload}${more}}[$__rate_interval]))`;

/** The share that was not mutual TLS: 0 and not absent where all of it was. */
const share = (what: 'connections' | 'requests') =>
  `(${added(what, ', peer!="mutual_tls"')} or 0 * ${added(what, '')}) / (${added(what, '')} > 0)`;

const quiet = 'no plaintext seen in this window';
const firstSeen = `plainsight:caller:first_seen_timestamp_seconds{${ofCaller}, strict="reject", traffic=~"$counted"}`;

/** The share over time, connections by kind, new callers as a curve and by name, requests by caller. */
export const trend: Section = {
  title: 'Over time',
  lines: [
    {
      h: 8,
      panels: [
        graph({
          title: 'Share without mutual TLS',
          description:
            'Of the inbound connections and requests of each namespace, the share that was not mutual TLS: plaintext, TLS without a client certificate, or the application’s own TLS. Sidecars keep their connections open and send many requests over each, so the two differ; only connections tell of TCP. Probes and scrapes are in it. A gap means that nothing came in.',
          w: 12,
          unit: 'percentunit',
          noValue: 'nothing came in in this window',
          max: 1,
          style: 'line',
          queries: [
            lines('A', share('connections'), '{{cluster}} {{destination_workload_namespace}} connections'),
            lines('B', share('requests'), '{{cluster}} {{destination_workload_namespace}} requests'),
          ],
        }),
        graph({
          title: 'Connections by what they speak',
          description: 'Inbound connections per minute by what the peer spoke, mutual TLS included.',
          w: 12,
          unit: 'cpm',
          noValue: 'no connections seen in this window',
          style: 'stacked',
          queries: [
            lines(
              'A',
              `sum by (peer) (avg_over_time(plainsight:port:connections:increase1m{${inWorkload}}[$__rate_interval]))`,
              '{{peer}}',
            ),
          ],
        }),
      ],
    },
    {
      h: 8,
      panels: [
        graph({
          title: 'New callers',
          description:
            'Callers that STRICT would break and that were seen for the first time, counted over the hour before each point. A caller counts as new only where the filter had been reporting before: the first day is not all new callers.',
          w: 12,
          unit: 'short',
          noValue: 'no new caller seen in this window',
          style: 'stacked',
          queries: [
            lines(
              'A',
              `count by (cluster, destination_workload_namespace) (${firstSeen} > time() - 3600)`,
              '{{cluster}} {{destination_workload_namespace}}',
            ),
          ],
        }),
        table({
          title: 'Newest callers',
          description: 'The twenty callers that STRICT would break and that turned up last, with when they did.',
          w: 12,
          unit: 'none',
          noValue: 'no new caller seen in 30 days',
          queries: [rows('A', `topk(20, max by (${callerLabels}) (${firstSeen})) * 1000`)],
          sort: { field: 'First seen', desc: true },
          columns: [caller, kind, speaks, namespace, workload, port, ago('Value', 'First seen')],
        }),
      ],
    },
    {
      h: 8,
      panels: [
        graph({
          title: 'Busiest callers that STRICT would break: connections',
          description: 'Connections per minute of the ten busiest callers without mutual TLS within the window.',
          w: 12,
          unit: 'cpm',
          noValue: quiet,
          style: 'line',
          queries: [
            lines(
              'A',
              `topk(10, sum by (caller, destination_workload_namespace, destination_workload) (avg_over_time(plainsight:caller:connections:increase1m{${ofCaller}, strict="reject", traffic=~"$counted"}[$__rate_interval])))`,
              '{{caller}} → {{destination_workload_namespace}}/{{destination_workload}}',
            ),
          ],
        }),
        graph({
          title: 'Busiest callers that STRICT would break: requests',
          description:
            'HTTP requests per minute of the ten busiest callers without mutual TLS. A caller that holds one connection open for days shows here and not on the left.',
          w: 12,
          unit: 'reqpm',
          noValue: quiet,
          style: 'line',
          queries: [
            lines(
              'A',
              `topk(10, sum by (caller, destination_workload_namespace, destination_workload) (avg_over_time(plainsight:caller:requests:increase1m{${ofCaller}, strict="reject", traffic=~"$counted"}[$__rate_interval])))`,
              '{{caller}} → {{destination_workload_namespace}}/{{destination_workload}}',
            ),
          ],
        }),
      ],
    },
  ],
};

/** Who was in the way within the window and has been silent for an hour; `rejected.ts` shows them. */
export const goneQuiet = `max by (${callerLabels}) (${blocking}) * 1000 unless on (${callerLabels}) plainsight:caller:blocking{${ofCaller}, window="1h"}`;
