/**
 * Draws the dashboard from a live Prometheus that holds the recording rules.
 *
 *     node build/src/draw.js --prometheus http://127.0.0.1:9090 --of "what runs there" \
 *         [--window 1h] [--counted 'app|probe|scrape'] [--minutes 30] --svg FILE
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { answers, type Asked } from './answers.js';
import { dashboardFile } from './files.js';
import { picture } from './picture.js';
import { Prometheus } from './prometheus.js';
import { initialValues } from './promql.js';
import type { Dashboard } from './shape.js';

const { values: given } = parseArgs({
  options: {
    prometheus: { type: 'string' },
    of: { type: 'string' },
    window: { type: 'string' },
    counted: { type: 'string' },
    minutes: { type: 'string', default: '30' },
    svg: { type: 'string' },
  },
});
if (given.prometheus === undefined || given.of === undefined || given.svg === undefined) {
  throw new Error('draw: expected --prometheus URL, --of TEXT that says what runs there, and --svg FILE');
}
const minutes = Number(given.minutes);
if (!(minutes > 0)) {
  throw new Error(`draw: --minutes: not a positive number: ${given.minutes ?? ''}`);
}

const dashboard = JSON.parse(readFileSync(dashboardFile, 'utf8')) as Dashboard;
const prometheus = new Prometheus(given.prometheus);
const end = Math.floor(Date.now() / 60000) * 60;
const asked: Asked = {
  end,
  start: end - minutes * 60,
  step: Math.max(60, Math.round((minutes * 60) / 300 / 60) * 60),
  values: {
    ...initialValues(dashboard),
    ...(given.window === undefined ? {} : { window: given.window }),
    ...(given.counted === undefined ? {} : { counted: given.counted }),
  },
};

// A Prometheus that has not evaluated the rules yet answers every query with nothing: that would be a picture of nothing.
const pods = await prometheus.at('count(plainsight:pod:build_info)', end);
if (pods.length === 0) {
  throw new Error(`draw: ${given.prometheus}: no pod reports there, or the recording rules are not loaded`);
}
const all = await answers(dashboard, prometheus, asked);
writeFileSync(given.svg, picture(dashboard, all, asked, given.of));
const asks = all.flatMap(({ queries }) => queries);
console.log(`draw: ${asks.length} queries, ${asks.filter(({ rows }) => rows > 0).length} with rows, ${asks.reduce((sum, { rows }) => sum + rows, 0)} rows in all`);
