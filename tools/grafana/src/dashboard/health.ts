/** Health and coverage of the filter itself. */
import { cluster, count, namespace, workload } from './columns.js';
import { graph, noneIsGood, noRules, stat, table, type Section } from './panels.js';
import { inWorkload, ofPod } from './queries.js';

const silent = 'no filter is scraped here, or its series still carry tag';
const increased = (metric: string) => `sum(increase(${metric}{${ofPod}}[$__range])) or 0 * count(plainsight_build_info{${ofPod}})`;

/** Coverage, errors, overflow and versions. Raw series have the pod's own namespace; the workload variable does not apply to them. */
export const health: Section = {
  title: 'The filter itself',
  panels: [
    stat({
      title: 'Pods reporting by version',
      description: 'Pods whose filter is scraped, by version of the filter. More than one version is normal during a rollout only.',
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
      description: 'Pods with problems in the configuration in force. Faulty keys use their defaults; the sidecar’s log lists each problem with its path.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('red'),
      expr: `sum(plainsight_config_errors{${ofPod}} > bool 0)`,
    }),
    stat({
      title: 'Overflow',
      description: 'Connections, requests and failed handshakes within the time range, beyond maxCallers or 64 ports. Raise the limit, or aggregate addresses with ipv4Prefix or ipv6Prefix.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('orange'),
      expr: increased('plainsight_overflow_total'),
    }),
    stat({
      title: 'Unreadable attributes',
      description: 'Values within the time range that Envoy failed to return or that could not be decoded. They never count as plaintext. Please report a bug if this is above 0.',
      w: 5,
      h: 4,
      unit: 'none',
      noValue: silent,
      thresholds: noneIsGood('orange'),
      expr: increased('plainsight_attribute_errors_total'),
    }),
    stat({
      title: 'Oldest rule evaluation',
      description: 'Time since the last evaluation of the rule group that is furthest behind. Above five minutes evaluations are being missed, and the panels above are as old.',
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
      description: 'Share of pods with a sidecar whose filter reports, by called namespace. If it stays below 100% for more than 15 minutes, the proof starts again.',
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
      description: 'Running pods with an istio-proxy container that do not report: check the plugin’s selector, the image pull and the scrape.',
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
