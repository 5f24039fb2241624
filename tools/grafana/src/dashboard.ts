/** The dashboard: sections from top to bottom, each in its own file. */
import { type Dashboard, DashboardBuilder, DashboardCursorSync, RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { callers } from './dashboard/callers.js';
import { uid } from './dashboard/columns.js';
import { health } from './dashboard/health.js';
import { readiness } from './dashboard/readiness.js';
import { rejected } from './dashboard/rejected.js';
import { summary } from './dashboard/summary.js';
import { trend } from './dashboard/trend.js';
import { variables } from './dashboard/variables.js';

/** One JSON for import, provisioning and grafana.com: no inputs to fill in, the data source is a variable. */
export function dashboard(): Dashboard {
  const builder = new DashboardBuilder('plainsight: would STRICT break anyone?')
    .uid(uid)
    .description('Which callers would break if a namespace moved from PeerAuthentication mode PERMISSIVE to STRICT. Needs the recording rules of plainsight.')
    .tags(['istio', 'mtls', 'plainsight'])
    .timezone('browser')
    .time({ from: 'now-24h', to: 'now' })
    .refresh('1m')
    .tooltip(DashboardCursorSync.Crosshair)
    .variables(variables);
  for (const { title, panels } of [summary, callers, readiness, trend, rejected, health]) {
    builder.withRow(new RowBuilder(title));
    for (const panel of panels) {
      builder.withPanel(panel);
    }
  }
  const built = builder.build();
  built.panels?.forEach((panel, index) => (panel.id = index + 1));
  return built;
}
