/** The variables at the top: scope, window and way of counting. */
import type { VariableOption } from '@grafana/grafana-foundation-sdk/dashboard';
import { CustomVariableBuilder, DatasourceVariableBuilder, QueryVariableBuilder, VariableRefresh, VariableSort } from '@grafana/grafana-foundation-sdk/dashboard';
import { datasource } from './panels.js';

/** A variable with the values of a label. `All` is `.*`, which also matches an absent label. */
function label(name: string, title: string, description: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(title)
    .description(description)
    .datasource(datasource)
    .query({ query, refId: `variable-${name}`, qryType: 5 })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalCaseInsensitiveAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ text: ['All'], value: ['$__all'] });
}

/** A variable with fixed values: the text is displayed and is the rules' label; the value is used in expressions. */
function choice(name: string, title: string, description: string, chosen: number, options: [text: string, value: string][]): CustomVariableBuilder {
  const listed: VariableOption[] = options.map(([text, value], index) => ({ text, value, selected: index === chosen }));
  return new CustomVariableBuilder(name)
    .label(title)
    .description(description)
    .values(options.map(([text, value]) => `${text} : ${value}`).join(', '))
    .options(listed)
    .current(listed[chosen] ?? { text: '', value: '' })
    .multi(false)
    .includeAll(false)
    // The rules record these values only.
    .allowCustomValue(false);
}

const days = (count: number) => `${count * 86400}`;

/** In order: each variable narrows the next. */
export const variables = [
  new DatasourceVariableBuilder('datasource').label('Data source').description('The Prometheus with the recording rules of plainsight.').type('prometheus'),
  label('cluster', 'Cluster', 'The cluster label, where your Prometheus sets one.', 'label_values(plainsight:workload:proven, cluster)'),
  label('namespace', 'Called namespace', 'The namespace of the workload that is called.', 'label_values(plainsight:workload:proven{cluster=~"$cluster"}, destination_workload_namespace)'),
  label('workload', 'Called workload', 'The workload that is called.', 'label_values(plainsight:workload:proven{cluster=~"$cluster", destination_workload_namespace=~"$namespace"}, destination_workload)'),
  label(
    'caller',
    'Caller',
    'A caller without mutual TLS: a workload, a node, a named address range or an address.',
    'label_values(plainsight:caller:last_seen_timestamp_seconds{cluster=~"$cluster", destination_workload_namespace=~"$namespace", destination_workload=~"$workload"}, caller)',
  ),
  choice('window', 'Window', 'How long no caller may have been in the way. A nightly job needs 7d, a monthly one 35d.', 2, [
    ['1h', '3600'],
    ['1d', days(1)],
    ['7d', days(7)],
    ['14d', days(14)],
    ['35d', days(35)],
  ]),
  choice('counted', 'Counted', 'all: every caller that STRICT would break. app: callers that only probe or scrape do not count, although STRICT refuses them too.', 0, [
    ['all', 'app|probe|scrape'],
    ['app', 'app'],
  ]),
];
