/** Health and coverage of the filter itself. */
import { cluster, count, namespace, workload } from './columns.js';
import { graph, noneIsGood, noRules, stat, table, type Section } from './panels.js';
import { inWorkload, ofPod } from './queries.js';

const silent = 'no filter is scraped here, or its series still carry tag';
const increased = (metric: string) => `sum(increase(${metric}{${ofPod}}[$__range])) or 0 * count(plainsight_build_info{${ofPod}})`;

/** Coverage, errors, overflow and versions. Raw series know the pod's own namespace; the workload variable does not apply there. */
export const health: Section = {
  title: 'The filter itself',
  panels: [
    stat({
      title: 'Pods reporting by version',
      description: 'Pods whose filter is scraped, by its version. More than one version lasts as long as a rollout.',
      w: 6,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: [{ color: 'blue', value: null }],
      background: false,
      expr: `count by (version) (plainsight_build_info{${ofPod}})`,
      legend: '{{version}}',
    }),
    stat({
      title: 'Configuration errors',
      description: 'Pods with problems in the configuration in force. Faulty keys have their defaults; the sidecar’s log names each with its path.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('red'),
      expr: `sum(plainsight_config_errors{${ofPod}} > bool 0)`,
    }),
    stat({
      title: 'Overflow',
      description: 'Connections and requests within the time range whose caller found no place among maxCallers. Raise it, or group addresses with callers or ipv4Prefix.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('orange'),
      expr: increased('plainsight_overflow_total'),
    }),
    stat({
      title: 'Unreadable attributes',
      description: 'Values within the time range that Envoy refused or gave in an unknown form. They are never taken for plaintext; a number here is worth a bug report.',
      w: 5,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('orange'),
      expr: increased('plainsight_attribute_errors_total'),
    }),
    stat({
      title: 'Oldest rule evaluation',
      description: 'How long ago the group of rules that is furthest behind was evaluated. Above five minutes evaluations are missed, and the answers above are as old.',
      w: 5,
      h: 4,
      unit: 's',
      noValue: 'the recording rules are not evaluated here',
      thresholds: [
        { color: 'green', value: null },
        { color: 'red', value: 300 },
      ],
      expr: 'time() - min(max by (group) (plainsight:rules:evaluated_timestamp_seconds))',
    }),
    graph({
      title: 'Coverage',
      description: 'Pods whose filter reports, of those with a sidecar, by called namespace. Below 100% for more than 15 minutes the proof starts again.',
      w: 12,
      h: 7,
      unit: 'percentunit',
      noValue: noRules,
      max: 1,
      style: 'line',
      lines: [
        [
          `sum by (cluster, destination_workload_namespace) (plainsight:workload:pods_reporting{${inWorkload}}) / sum by (cluster, destination_workload_namespace) (plainsight:workload:pods{${inWorkload}})`,
          '{{cluster}} {{destination_workload_namespace}}',
        ],
      ],
    }),
    table({
      title: 'Workloads with pods that do not report',
      description: 'Running pods with an istio-proxy container and no filter: the plugin’s selector, the image pull, or the scrape leaves them out.',
      w: 12,
      h: 7,
      unit: 'none',
      noValue: 'every pod with a sidecar reports, or kube-state-metrics is not scraped',
      queries: [
        `sum by (cluster, destination_workload_namespace, destination_workload) (plainsight:workload:pods{${inWorkload}} - plainsight:workload:pods_reporting{${inWorkload}}) > 0`,
        `sum by (cluster, destination_workload_namespace, destination_workload) (plainsight:workload:pods{${inWorkload}} > plainsight:workload:pods_reporting{${inWorkload}})`,
      ],
      sort: { field: 'Missing pods', desc: true },
      columns: [namespace, workload, count('Value #A', 'Missing pods'), count('Value #B', 'Pods'), cluster],
    }),
  ],
};
