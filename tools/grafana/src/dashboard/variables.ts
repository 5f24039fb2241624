/** The variables at the top: where to look, how far back, and whether probes and scrapes count. */
import type { Variable } from '../shape.js';
import { datasource } from './layout.js';

/** A variable whose values are those of a label; `All` also matches an absent label. */
function label(name: string, title: string, description: string, query: string): Variable {
  return {
    name,
    label: title,
    description,
    type: 'query',
    datasource,
    query: { query, refId: `variable-${name}`, qryType: 5 },
    refresh: 2,
    sort: 5,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
    options: [],
    hide: 0,
    regex: '',
  };
}

/** A variable with fixed values: the text shown and the value put into the queries. */
function choice(name: string, title: string, description: string, chosen: number, options: [text: string, value: string][]): Variable {
  const listed = options.map(([text, value], index) => ({ text, value, selected: index === chosen }));
  const [text, value] = options[chosen] ?? ['', ''];
  return {
    name,
    label: title,
    description,
    type: 'custom',
    query: options.map(([text, value]) => (text === value ? value : `${text} : ${value}`)).join(','),
    current: { text, value },
    options: listed,
    multi: false,
    includeAll: false,
    hide: 0,
  };
}

/** In the order in which one narrows the other. */
export const variables: Variable[] = [
  {
    name: 'datasource',
    label: 'Data source',
    description: 'The Prometheus that holds the recording rules of plainsight.',
    type: 'datasource',
    query: 'prometheus',
    options: [],
    refresh: 1,
    regex: '',
    multi: false,
    includeAll: false,
    hide: 0,
  },
  label(
    'cluster',
    'Cluster',
    'The cluster label, where your Prometheus sets one.',
    'label_values(plainsight:pod:build_info, cluster)',
  ),
  label(
    'namespace',
    'Namespace',
    'The namespace of the workload that is called.',
    'label_values(plainsight:workload:ready{cluster=~"$cluster"}, destination_workload_namespace)',
  ),
  label(
    'workload',
    'Workload',
    'The workload that is called.',
    'label_values(plainsight:workload:ready{cluster=~"$cluster", destination_workload_namespace=~"$namespace"}, destination_workload)',
  ),
  label(
    'caller',
    'Caller',
    'A caller without mutual TLS: a workload, a node, a named address range or an address.',
    'label_values(plainsight:caller:last_seen_timestamp_seconds{cluster=~"$cluster", destination_workload_namespace=~"$namespace", destination_workload=~"$workload"}, caller)',
  ),
  choice('window', 'Quiet for', 'How long nobody may have been in the way for a namespace to count as ready. A job that runs once a day needs 7d.', 2, [
    ['1h', '1h'],
    ['1d', '1d'],
    ['7d', '7d'],
    ['30d', '30d'],
  ]),
  choice(
    'counted',
    'Probes and scrapes',
    'Whether callers that are only health probes or metric scrapes stand in the way. Rewritten kubelet probes never do; others break under STRICT like any caller.',
    0,
    [
      ['count', 'app|probe|scrape'],
      ['leave out', 'app'],
    ],
  ),
];
