/** Is the filter itself well? Its numbers are worth what its coverage is worth. */
import { cluster, namespace, workload } from './columns.js';
import { graph, lines, noneIsBest, noneIsGood, rows, stat, table, type Section } from './layout.js';
import { inWorkload, ofPod } from './selectors.js';

const silent = 'the filter reports nothing here';

/** Coverage, errors, overflow and version, as numbers and as curves. */
export const health: Section = {
  title: 'The filter itself',
  lines: [
    {
      h: 4,
      panels: [
        stat({
          title: 'Pods reporting',
          description: 'Pods whose filter reports. The namespace here is the pod’s own; the workload variable does not apply.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: [{ color: 'green', value: null }],
          background: false,
          expr: `count(count by (cluster, namespace, pod) (plainsight:pod:build_info{${ofPod}}))`,
        }),
        stat({
          title: 'Silent workloads',
          description:
            'Workloads with a pod for which Istio counts inbound traffic and the filter counts none: the filter is missing there, or off. It needs Istio’s own metrics (istio_requests_total); without them nothing can be said.',
          w: 4,
          unit: 'short',
          noValue: 'no Istio metrics to compare with',
          thresholds: noneIsGood,
          expr: `sum(plainsight:workload:silent{${inWorkload}})`,
        }),
        stat({
          title: 'Configuration errors',
          description: 'Problems in the configuration in force, over all pods. The faulty keys stand at their defaults; the proxy’s log names each with its path.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsGood,
          expr: `sum(plainsight:pod:config_errors{${ofPod}})`,
        }),
        stat({
          title: 'Overflow',
          description:
            'Connections and requests within the time range whose caller found no place among maxCallers and was counted as overflow: that caller has no name here. Raise maxCallers, or group addresses with callers or ipv4Prefix.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsBest,
          expr: `sum(sum_over_time(plainsight:pod:overflow:increase1m{${ofPod}}[$__range])) or 0 * count(plainsight:pod:build_info{${ofPod}})`,
        }),
        stat({
          title: 'Unreadable properties',
          description: 'Properties within the time range that Envoy did not give or gave in an unknown shape. They are never taken for plaintext silently; a number here is a reason to report a bug.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsBest,
          expr: `sum(sum_over_time(plainsight:pod:attribute_errors:increase1m{${ofPod}}[$__range])) or 0 * count(plainsight:pod:build_info{${ofPod}})`,
        }),
        stat({
          title: 'Versions',
          description: 'Pods by the version of the filter they run. More than one version lasts only as long as a roll-out.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: [{ color: 'blue', value: null }],
          background: false,
          textMode: 'value_and_name',
          expr: `count by (version) (plainsight:pod:build_info{${ofPod}})`,
          legend: '{{version}}',
        }),
      ],
    },
    {
      h: 7,
      panels: [
        graph({
          title: 'Pods reporting by version',
          description: 'Coverage over time: a drop is a blind spot, and readiness starts anew from there.',
          w: 8,
          unit: 'short',
          noValue: silent,
          style: 'stacked',
          queries: [lines('A', `count by (version) (plainsight:pod:build_info{${ofPod}})`, '{{version}}')],
        }),
        graph({
          title: 'Overflow and errors',
          description: 'Callers counted as overflow, properties that could not be read (both per minute), and configuration errors in force. All of them are 0 on a good day.',
          w: 8,
          unit: 'short',
          noValue: silent,
          style: 'line',
          queries: [
            lines('A', `sum(avg_over_time(plainsight:pod:overflow:increase1m{${ofPod}}[$__rate_interval]))`, 'overflow per minute'),
            lines('B', `sum(avg_over_time(plainsight:pod:attribute_errors:increase1m{${ofPod}}[$__rate_interval]))`, 'unreadable properties per minute'),
            lines('C', `sum(plainsight:pod:config_errors{${ofPod}})`, 'configuration errors'),
          ],
        }),
        table({
          title: 'Workloads where the filter is silent',
          description: 'Where to look when the number above is not 0: Istio sees inbound traffic there, the filter does not.',
          w: 8,
          unit: 'none',
          noValue: 'none, or no Istio metrics to compare with',
          queries: [rows('A', `plainsight:workload:silent{${inWorkload}} == 1`)],
          sort: { field: 'Namespace', desc: false },
          columns: [namespace, workload, cluster],
        }),
      ],
    },
  ],
};
