/** The decline of plaintext, and new callers. */
import { ago, caller, kind, namespace, port, speaks, workload } from './columns.js';
import { graph, noRules, table, type Section } from './panels.js';
import { asked, callerLabels, inNamespace, inWorkload, labelsOf, ofCaller } from './queries.js';

const rate = (what: 'connections' | 'requests', more = '') => `sum by (${labelsOf.namespace}) (plainsight:port:${what}:rate5m{${inWorkload}${more}})`;

/** The share without mutual TLS: 0, not absent, if all of it was mutual TLS. */
const share = (what: 'connections' | 'requests') => `(${rate(what, ', peer!="mutual_tls"')} or 0 * ${rate(what)}) / (${rate(what)} > 0)`;

const firstSeen = `plainsight:caller:first_seen_timestamp_seconds{${ofCaller}, strict="reject", traffic=~"$counted"}`;

/** Curves over the dashboard's time range, and the newest callers. */
export const trend: Section = {
  title: 'Over time',
  panels: [
    graph({
      title: 'Readiness of namespaces',
      description: 'Namespaces by state, for the window and the way of counting selected at the top.',
      w: 12,
      h: 7,
      unit: 'none',
      noValue: noRules,
      style: 'stacked',
      lines: [
        [`sum(plainsight:namespace:ready{${inNamespace}, ${asked}})`, 'ready'],
        [`sum(plainsight:namespace:blocking_callers{${inNamespace}, ${asked}} > bool 0)`, 'callers in the way'],
        [`sum((plainsight:namespace:ready{${inNamespace}, ${asked}} == bool 0) * (plainsight:namespace:blocking_callers{${inNamespace}, ${asked}} == bool 0))`, 'not proven'],
      ],
    }),
    graph({
      title: 'Share of connections without mutual TLS',
      description: 'Share of the inbound connections of each called namespace that was plaintext, TLS without a client certificate, or the application’s own TLS. Sidecars keep connections open, so compare with the requests. A gap means no traffic.',
      w: 12,
      h: 7,
      unit: 'percentunit',
      noValue: 'no traffic within the time range, or no rules',
      max: 1,
      style: 'line',
      lines: [[share('connections'), '{{cluster}} {{destination_workload_namespace}}']],
    }),
    graph({
      title: 'Connections by what they speak',
      description: 'Inbound connections per second by protocol of the peer, including mutual TLS, probes and scrapes.',
      w: 12,
      h: 7,
      unit: 'cps',
      noValue: 'no traffic within the time range, or no rules',
      style: 'stacked',
      lines: [[`sum by (peer) (plainsight:port:connections:rate5m{${inWorkload}})`, '{{peer}}']],
    }),
    graph({
      title: 'Share of requests without mutual TLS',
      description: 'The same for HTTP requests. A caller that keeps one connection open for days is visible here, but not in the connections.',
      w: 12,
      h: 7,
      unit: 'percentunit',
      noValue: 'no request within the time range, or no rules',
      max: 1,
      style: 'line',
      lines: [[share('requests'), '{{cluster}} {{destination_workload_namespace}}']],
    }),
    graph({
      title: 'New callers',
      description: 'Callers that STRICT would break, seen for the first time within the hour before each point, by called namespace.',
      w: 12,
      h: 8,
      unit: 'none',
      noValue: 'no new caller within the time range',
      style: 'bars',
      lines: [[`count by (${labelsOf.namespace}) (${firstSeen} > time() - 3600)`, '{{cluster}} {{destination_workload_namespace}}']],
    }),
    table({
      title: 'Newest callers',
      description: 'The 20 most recent new callers that STRICT would break, with the time of their first call.',
      w: 12,
      h: 8,
      unit: 'none',
      noValue: 'no caller that STRICT would break in 40 days',
      queries: [`topk(20, max by (${callerLabels}) (${firstSeen})) * 1000`],
      sort: { field: 'First seen', desc: true },
      columns: [caller, kind, speaks, namespace, workload, port, ago('Value', 'First seen')],
    }),
  ],
};
