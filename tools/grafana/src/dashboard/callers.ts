/** Who is in the way: the table to work through, and what helps to tell who somebody is. */
import { address, ago, caller, cluster, count, kind, namespace, port, speaks, traffic, workload } from './columns.js';
import { rows, table, type Section } from './layout.js';
import { blocking, callerLabels, ofCaller } from './selectors.js';

const volume = (what: 'connections' | 'requests') =>
  `sum by (${callerLabels}) (sum_over_time(plainsight:caller:${what}:increase1m{${ofCaller}, strict="reject"}[$window])) ` +
  `and on (${callerLabels}) ${blocking}`;

/** The table of callers, those on exempt ports, and what callers say of themselves. */
export const callers: Section = {
  title: 'Who is in the way',
  lines: [
    {
      h: 10,
      panels: [
        table({
          title: 'Callers that STRICT would break',
          description:
            'One row for each caller, destination and port within the window. A click on a caller, namespace or workload filters the whole dashboard. Connections and requests are those of the window; one without requests speaks no HTTP. Times are up to three minutes late: a caller is named once kube-state-metrics has surely seen its pod. What to do for each kind of caller is in docs/runbook.md.',
          w: 24,
          unit: 'none',
          noValue: 'no plaintext seen in this window',
          queries: [
            rows('A', `max by (${callerLabels}, traffic) (${blocking}) * 1000`),
            rows('B', volume('connections')),
            rows('C', volume('requests')),
            rows('D', `min by (${callerLabels}) (plainsight:caller:first_seen_timestamp_seconds{${ofCaller}, strict="reject"}) * 1000 and on (${callerLabels}) ${blocking}`),
          ],
          sort: { field: 'Last seen', desc: true },
          columns: [
            caller,
            kind,
            address,
            speaks,
            traffic,
            namespace,
            workload,
            port,
            ago('Value #A', 'Last seen'),
            ago('Value #D', 'First seen'),
            count('Value #B', 'Connections'),
            count('Value #C', 'Requests'),
            cluster,
          ],
        }),
      ],
    },
    {
      h: 6,
      panels: [
        table({
          title: 'Callers on exempt ports',
          description:
            'Callers without mutual TLS on a port listed in exemptPorts: they keep working if the PeerAuthentication lists the same port under portLevelMtls. They are in nobody’s way and are counted nowhere else.',
          w: 12,
          unit: 'none',
          noValue: 'no plaintext seen on exempt ports in 30 days',
          queries: [
            rows(
              'A',
              `max by (${callerLabels}) (plainsight:caller:last_seen_timestamp_seconds{${ofCaller}, strict="exempt"}) * 1000`,
            ),
          ],
          sort: { field: 'Last seen', desc: true },
          columns: [caller, kind, speaks, namespace, workload, port, ago('Value', 'Last seen')],
        }),
        table({
          title: 'What callers say they are (can be forged)',
          description:
            'For callers known by their address only: the workload they claim to be, by Istio’s metadata exchange or workload discovery. It helps to find the team behind an address; it proves nothing.',
          w: 12,
          unit: 'none',
          noValue: 'no claims',
          queries: [
            rows(
              'A',
              `group by (cluster, source_ip, claimed_workload, claimed_workload_namespace) (plainsight:caller:claim{cluster=~"$cluster"}) ` +
                `and on (cluster, source_ip) plainsight:caller:last_seen_timestamp_seconds{${ofCaller}, source_ip!=""}`,
            ),
          ],
          sort: { field: 'Address', desc: false },
          columns: [
            address,
            { from: 'claimed_workload', to: 'Claimed workload' },
            { from: 'claimed_workload_namespace', to: 'Claimed namespace' },
            cluster,
          ],
        }),
      ],
    },
  ],
};
