/** The first row: can it go STRICT, and if not, how far away is it? */
import { noneIsGood, stat, type Section } from './layout.js';
import { asked, blocking, inNamespace, inWorkload, ofPod } from './selectors.js';

const silent = 'the filter reports nothing here';

/** Six numbers; every one of them obeys the variables above it. */
export const answer: Section = {
  title: 'Would STRICT break anyone?',
  lines: [
    {
      h: 5,
      panels: [
        stat({
          title: 'Namespaces ready',
          description:
            'Namespaces that can go STRICT: no caller that STRICT would break was seen within the window, and the filter was reporting throughout it. Silence alone is not evidence.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: [
            { color: 'orange', value: null },
            { color: 'green', value: 1 },
          ],
          expr: `sum(plainsight:namespace:ready{${inNamespace}, ${asked}})`,
        }),
        stat({
          title: 'Namespaces not ready',
          description: 'Namespaces with a caller in the way, or without a full window of reports. The tables below say which it is.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsGood,
          expr: `sum(plainsight:namespace:ready{${inNamespace}, ${asked}} == bool 0)`,
        }),
        stat({
          title: 'Quiet, not yet proven',
          description:
            'Of the namespaces not ready, those where nobody is in the way, but the filter has not been reporting for the whole window yet. Wait, or choose a shorter window.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: [
            { color: 'green', value: null },
            { color: 'orange', value: 1 },
          ],
          expr: `sum((plainsight:namespace:ready{${inNamespace}, ${asked}} == bool 0) * (plainsight:namespace:blocking_callers{${inNamespace}, ${asked}} == bool 0))`,
        }),
        stat({
          title: 'Workloads not ready',
          description: 'Workloads with a caller in the way, or without a full window of reports. STRICT can be switched on workload by workload.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsGood,
          expr: `sum(plainsight:workload:ready{${inWorkload}, ${asked}} == bool 0)`,
        }),
        stat({
          title: 'Callers in the way',
          description:
            'Callers that STRICT would break: seen within the window without mutual TLS, on a port that is not exempt. A caller counts once, however many destinations it calls.',
          w: 4,
          unit: 'short',
          noValue: silent,
          thresholds: noneIsGood,
          expr: `count(count by (cluster, caller, caller_kind, source_ip) (${blocking})) or 0 * count(plainsight:pod:build_info{${ofPod}})`,
        }),
        stat({
          title: 'Last plaintext',
          description:
            'How long ago a caller that STRICT would break was last seen, over the last 30 days and whatever the window: plaintext, or TLS without the mesh’s certificate.',
          w: 4,
          unit: 's',
          noValue: 'no plaintext seen in 30 days',
          thresholds: [
            { color: 'red', value: null },
            { color: 'orange', value: 86400 },
            { color: 'green', value: 604800 },
          ],
          expr: `time() - max(plainsight:workload:last_blocking_timestamp_seconds{${inWorkload}, counted="$counted"})`,
        }),
      ],
    },
  ],
};
