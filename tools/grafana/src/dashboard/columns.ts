/** Columns and links shared by several tables: the same heading, unit and link for the same label everywhere. */
import type { DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Column } from './panels.js';
import { runbook } from './runbook.js';

/** The dashboard's own URL. */
export const uid = 'plainsight';

/** A link to the dashboard with the named variables changed and everything else unchanged. */
function narrowed(title: string, changes: Record<string, string>): { title: string; url: string } {
  const kept = ['datasource', 'cluster', 'namespace', 'workload', 'caller', 'window', 'counted']
    .filter((name) => !(name in changes))
    .map((name) => `\${${name}:queryparam}`);
  const changed = Object.entries(changes).map(([name, column]) => `var-${name}=\${__data.fields["${column}"]}`);
  return { title, url: `/d/${uid}/${uid}?${['${__url_time_range}', ...kept, ...changed].join('&')}` };
}

const width = (value: number) => ({ id: 'custom.width', value });
const links = (...value: { title: string; url: string; targetBlank?: boolean }[]) => ({ id: 'links', value });

/** A coloured text for each value. */
function mapped(texts: Record<string, [text: string, color: string]>, background: boolean): DynamicConfigValue[] {
  const options = Object.fromEntries(Object.entries(texts).map(([value, [text, color]], index) => [value, { text, color, index }]));
  return [
    { id: 'mappings', value: [{ type: 'value', options }] },
    { id: 'custom.cellOptions', value: background ? { type: 'color-background', mode: 'basic' } : { type: 'color-text' } },
  ];
}

/** Empty if Prometheus sets no such label. */
export const cluster: Column = { from: 'cluster', to: 'Cluster', properties: [width(90)] };

/** The called namespace; filters the dashboard. */
export const namespace: Column = {
  from: 'destination_workload_namespace',
  to: 'Called namespace',
  properties: [links(narrowed('Only this namespace', { namespace: 'Called namespace' }))],
};

/** The called workload; filters the dashboard. */
export const workload: Column = {
  from: 'destination_workload',
  to: 'Called workload',
  properties: [links(narrowed('Only this workload', { namespace: 'Called namespace', workload: 'Called workload' }))],
};

/** Without thousands separator. */
export const port: Column = { from: 'destination_port', to: 'Port', properties: [{ id: 'unit', value: 'none' }, width(64)] };

/** The caller's name; filters the dashboard. */
export const caller: Column = { from: 'caller', to: 'Caller', properties: [links(narrowed('Only this caller', { caller: 'Caller' }))] };

/** The kind of the caller: a Deployment, a node, a named address range, an address. */
export const kind: Column = { from: 'caller_kind', to: 'Kind', properties: [width(110)] };

/** Callers that are not workloads keep their address. */
export const address: Column = { from: 'source_ip', to: 'Address' };

/** `peer` in words. */
export const speaks: Column = {
  from: 'peer',
  to: 'Speaks',
  properties: mapped(
    {
      plaintext: ['plaintext', 'red'],
      tls_no_client_cert: ['TLS without a client certificate', 'orange'],
      tls_passthrough: ["the application's own TLS", 'purple'],
    },
    false,
  ),
};

/** app, probe or scrape. */
export const traffic: Column = { from: 'traffic', to: 'Traffic', properties: [width(72)] };

/** The runbook's heading for this caller. */
export const whatToDo: Column = {
  from: 'runbook',
  to: 'What to do',
  properties: [links({ title: 'Runbook', url: `${runbook}#\${__value.raw}`, targetBlank: true })],
};

/** A Unix timestamp in milliseconds, shown as "2 hours ago". */
export const ago = (from: string, to: string): Column => ({ from, to, properties: [{ id: 'unit', value: 'dateTimeFromNow' }] });

/** A count. */
export const count = (from: string, to: string): Column => ({ from, to, properties: [{ id: 'unit', value: 'short' }, { id: 'decimals', value: 0 }] });

/** Whether STRICT is safe: see `stateOf`. */
export const state = (from: string): Column => ({
  from,
  to: 'STRICT',
  properties: [...mapped({ 0: ['callers in the way', 'red'], 1: ['ready', 'green'], 2: ['not proven', 'orange'] }, true), width(140)],
});

/** Pods reporting of those with a sidecar. */
export const covered = (from: string): Column => ({
  from,
  to: 'Coverage',
  properties: [
    { id: 'unit', value: 'percentunit' },
    { id: 'thresholds', value: { mode: 'absolute', steps: [{ color: 'orange', value: null }, { color: 'green', value: 1 }] } },
    { id: 'custom.cellOptions', value: { type: 'color-text' } },
    width(84),
  ],
});

/** Problems of the setup in words, by label `problem` of `plainsight:setup:problem`. */
export const setupProblems: Record<string, string> = {
  relabelling_missing: 'relabelling: the scrape job lacks metric_relabel_configs that unpack the label tag',
  pod_label_missing: 'the labels namespace and pod on the sidecars’ series: see relabel_configs of the scrape job',
  kube_state_metrics_missing: 'kube-state-metrics: without it callers have no names, and nothing is proven',
  honor_labels_missing: 'honor_labels: true in the scrape job of kube-state-metrics',
  cluster_label_mismatch: 'the label cluster is on the sidecars or on kube-state-metrics, not on both',
  sidecar_containers_missing: 'kube_pod_container_info of kube-state-metrics: without it nothing is proven',
};

/** The problem of the setup. */
export const problem: Column = {
  from: 'problem',
  to: 'Missing',
  properties: mapped(
    {
      nothing: ['nothing: the rules are evaluated, and all they need is scraped', 'green'],
      ...Object.fromEntries(Object.entries(setupProblems).map(([name, text]): [string, [string, string]] => [name, [text, 'red']])),
    },
    false,
  ),
};
