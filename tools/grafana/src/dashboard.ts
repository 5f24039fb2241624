/** The whole dashboard: sections from top to bottom, each in its own file. */
import type { Dashboard } from './shape.js';
import { answer } from './dashboard/answer.js';
import { callers } from './dashboard/callers.js';
import { health } from './dashboard/health.js';
import { stack, uid } from './dashboard/layout.js';
import { readiness } from './dashboard/readiness.js';
import { rejected } from './dashboard/rejected.js';
import { trend } from './dashboard/trend.js';
import { variables } from './dashboard/variables.js';

/** One JSON for import, provisioning and grafana.com: no inputs to fill in, the data source is a variable. */
export const dashboard: Dashboard = {
  uid,
  title: 'plainsight: would STRICT break anyone?',
  description:
    'Which callers would break if a namespace moved from PeerAuthentication mode PERMISSIVE to STRICT. Needs the recording rules of plainsight.',
  tags: ['istio', 'mtls', 'plainsight'],
  editable: true,
  graphTooltip: 1,
  schemaVersion: 39,
  version: 1,
  timezone: 'browser',
  time: { from: 'now-24h', to: 'now' },
  refresh: '1m',
  timepicker: {},
  weekStart: '',
  fiscalYearStartMonth: 0,
  liveNow: false,
  links: [],
  annotations: {
    list: [
      {
        builtIn: 1,
        datasource: { type: 'grafana', uid: '-- Grafana --' },
        enable: true,
        hide: true,
        iconColor: 'rgba(0, 211, 255, 1)',
        name: 'Annotations & Alerts',
        type: 'dashboard',
      },
    ],
  },
  templating: { list: variables },
  panels: stack([answer, callers, readiness, trend, rejected, health]),
};
