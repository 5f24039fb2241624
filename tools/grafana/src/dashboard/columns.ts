/** The columns and links that several tables share: one heading, one unit and one link for the same label everywhere. */
import type { DataLink } from '../shape.js';
import { uid, type Column } from './layout.js';

/** The dashboard again, with everything as it is but for the variables named. */
function narrowed(title: string, changes: Record<string, string>): DataLink {
  const kept = ['datasource', 'cluster', 'namespace', 'workload', 'caller', 'window', 'counted']
    .filter((name) => !(name in changes))
    .map((name) => `\${${name}:queryparam}`);
  const changed = Object.entries(changes).map(([name, value]) => `var-${name}=${value}`);
  return { title, url: `/d/${uid}/${uid}?${['${__url_time_range}', ...kept, ...changed].join('&')}` };
}

const cell = (column: string) => `\${__data.fields.${column}}`;

/** The destination's cluster; empty where Prometheus sets no such label. */
export const cluster: Column = { from: 'cluster', to: 'Cluster', properties: [{ id: 'custom.width', value: 100 }] };

/** The destination's namespace; filters the dashboard. */
export const namespace: Column = {
  from: 'destination_workload_namespace',
  to: 'Namespace',
  properties: [{ id: 'links', value: [narrowed('Only this namespace', { namespace: cell('Namespace') })] }],
};

/** The destination's workload; filters the dashboard. */
export const workload: Column = {
  from: 'destination_workload',
  to: 'Workload',
  properties: [
    {
      id: 'links',
      value: [narrowed('Only this workload', { namespace: cell('Namespace'), workload: cell('Workload') })],
    },
  ],
};

/** The destination's port, as it is: no thousands separator. */
export const port: Column = {
  from: 'destination_port',
  to: 'Port',
  properties: [
    { id: 'unit', value: 'none' },
    { id: 'custom.width', value: 80 },
  ],
};

/** The caller's name; filters the dashboard. */
export const caller: Column = {
  from: 'caller',
  to: 'Caller',
  properties: [{ id: 'links', value: [narrowed('Only this caller', { caller: cell('Caller') })] }],
};

/** What the name stands for: a Deployment, a node, a named address range, an address. */
export const kind: Column = { from: 'caller_kind', to: 'Kind', properties: [{ id: 'custom.width', value: 110 }] };

/** The address, where the caller has no workload to be named by. */
export const address: Column = { from: 'source_ip', to: 'Address' };

/** `peer` in words. */
export const speaks: Column = {
  from: 'peer',
  to: 'Speaks',
  properties: [
    {
      id: 'mappings',
      value: [
        {
          type: 'value',
          options: {
            plaintext: { text: 'plaintext', color: 'red', index: 0 },
            tls_no_client_cert: { text: 'TLS without a client certificate', color: 'orange', index: 1 },
            tls_passthrough: { text: "the application's own TLS", color: 'purple', index: 2 },
          },
        },
      ],
    },
    { id: 'custom.cellOptions', value: { type: 'color-text' } },
  ],
};

/** `traffic` as it is: app, probe or scrape. */
export const traffic: Column = { from: 'traffic', to: 'Traffic', properties: [{ id: 'custom.width', value: 80 }] };

/** A Unix timestamp in milliseconds, read as "2 hours ago". */
export function ago(from: string, to: string): Column {
  return { from, to, properties: [{ id: 'unit', value: 'dateTimeFromNow' }] };
}

/** A count. */
export function count(from: string, to: string): Column {
  return { from, to, properties: [{ id: 'unit', value: 'short' }, { id: 'decimals', value: 0 }] };
}

/** Whether STRICT is safe: 1 ready, 0 callers in the way, 2 quiet but not proven. See `stateOf`. */
export function state(from: string): Column {
  return {
    from,
    to: 'STRICT',
    properties: [
      {
        id: 'mappings',
        value: [
          {
            type: 'value',
            options: {
              0: { text: 'callers in the way', color: 'red', index: 0 },
              1: { text: 'ready', color: 'green', index: 1 },
              2: { text: 'quiet, not yet proven', color: 'orange', index: 2 },
            },
          },
        ],
      },
      { id: 'custom.cellOptions', value: { type: 'color-background', mode: 'basic' } },
      { id: 'custom.width', value: 170 },
    ],
  };
}

/**
 * Readiness as one number: 1 ready, 0 callers in the way, 2 no caller in the way but no proof either, since the filter
 * has not been reporting throughout the window.
 */
export function stateOf(subject: 'namespace' | 'workload' | 'port', matchers: string): string {
  return (
    `plainsight:${subject}:ready{${matchers}} + 2 * ` +
    `(plainsight:${subject}:ready{${matchers}} == bool 0) * (plainsight:${subject}:blocking_callers{${matchers}} == bool 0)`
  );
}

/**
 * A query with the labels of its subject and no others. Tables join their queries on the labels, and Grafana's join
 * keeps rows apart that differ in any, the series' own name included.
 */
export function each(subject: 'namespace' | 'workload' | 'port', expr: string): string {
  const labels = {
    namespace: 'cluster, destination_workload_namespace',
    workload: 'cluster, destination_workload_namespace, destination_workload',
    port: 'cluster, destination_workload_namespace, destination_workload, destination_port',
  };
  return `max by (${labels[subject]}) (${expr})`;
}
