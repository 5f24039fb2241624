/** The first row: which namespaces can go STRICT, and problems of the setup. */
import { cluster, count, problem } from './columns.js';
import { noneIsGood, noRules, stat, table, type Section } from './panels.js';
import { asked, blocking, inNamespace, inWorkload } from './queries.js';

const ready = `plainsight:namespace:ready{${inNamespace}, ${asked}}`;
const callers = `plainsight:namespace:blocking_callers{${inNamespace}, ${asked}}`;

/** Every number follows the variables. A monthly job needs 35d; every place where the window matters mentions it. */
export const summary: Section = {
  title: 'Would STRICT break anyone? (window and way of counting: at the top; monthly jobs: 35d)',
  panels: [
    stat({
      title: 'Namespaces ready',
      description: 'No caller that STRICT would break was seen within the window, and every pod with a sidecar reported throughout it. Select 35d if a job calls once a month.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: noRules,
      thresholds: [
        { color: 'text', value: null },
        { color: 'green', value: 1 },
      ],
      expr: `sum(${ready})`,
    }),
    stat({
      title: 'With callers in the way',
      description: 'Namespaces where a caller that STRICT would break was seen within the window. The next row lists the callers.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: noRules,
      thresholds: noneIsGood('red'),
      expr: `sum(${callers} > bool 0)`,
    }),
    stat({
      title: 'Not proven',
      description: 'Namespaces without a caller in the way, but not every pod has reported for the whole window. Wait, select a shorter window, or check the coverage: missing data is not evidence.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: noRules,
      thresholds: noneIsGood('orange'),
      expr: `sum((${ready} == bool 0) * (${callers} == bool 0))`,
    }),
    stat({
      title: 'Coverage',
      description: 'Share of running pods with an istio-proxy container whose filter reports. Below 100%, the affected namespaces are not proven.',
      w: 4,
      h: 4,
      unit: 'percentunit',
      noValue: 'unknown: kube-state-metrics is not scraped, or no rules',
      thresholds: [
        { color: 'orange', value: null },
        { color: 'green', value: 1 },
      ],
      expr: `sum(plainsight:workload:pods_reporting{${inWorkload}}) / sum(plainsight:workload:pods{${inWorkload}})`,
    }),
    stat({
      title: 'Callers in the way',
      description: 'Callers that STRICT would break, seen within the window on a port that is not exempt. A caller of several workloads counts once.',
      w: 4,
      h: 4,
      unit: 'none',
      noValue: noRules,
      thresholds: noneIsGood('red'),
      expr: `count(group by (cluster, caller, caller_kind) (${blocking})) or 0 * sum(${ready})`,
    }),
    stat({
      title: 'Last plaintext',
      description: 'Time since a caller that STRICT would break was last seen, within the last 40 days regardless of the window.',
      w: 4,
      h: 4,
      unit: 's',
      noValue: 'no such caller in 40 days',
      thresholds: [
        { color: 'red', value: null },
        { color: 'orange', value: 86400 },
        { color: 'green', value: 604800 },
      ],
      expr: `time() - max(plainsight:caller:last_seen_timestamp_seconds{${inWorkload}, strict="reject", traffic=~"$counted"})`,
    }),
    table({
      title: 'What is missing for an answer',
      description: 'Problems of the setup that hide callers or prevent proof. Empty: the recording rules are not evaluated in this Prometheus.',
      w: 24,
      h: 3,
      unit: 'none',
      noValue: 'the recording rules are not evaluated here: load plainsight.rules.yml',
      queries: [
        'max by (cluster, problem) (plainsight:setup:problem{cluster=~"$cluster"}) or on () ' +
          'label_replace(0 * max(plainsight:rules:evaluated_timestamp_seconds), "problem", "nothing", "", "")',
      ],
      sort: { field: 'Pods', desc: true },
      columns: [problem, count('Value', 'Pods'), cluster],
    }),
  ],
};
