/**
 * Says everything that is wrong with the dashboard, and fails if anything is.
 *
 *     node build/src/lint.js [FILE]
 */
import { readFileSync } from 'node:fs';
import { check } from './check.js';
import { dashboardFile, queriesPage, rulesFile } from './files.js';
import { stale } from './listed.js';
import type { Dashboard } from './shape.js';

const file = process.argv[2] ?? dashboardFile;
const [checked] = check([readFileSync(file, 'utf8')], readFileSync(rulesFile, 'utf8'));
if (checked === undefined) {
  throw new Error(`lint: ${file}: not checked`);
}
const { problems, counted } = checked;
if (problems.length === 0) {
  problems.push(...stale(JSON.parse(readFileSync(file, 'utf8')) as Dashboard, readFileSync(queriesPage, 'utf8')));
}
for (const { path, what } of problems) {
  console.error(`${file}: ${path}: ${what}`);
}
if (problems.length > 0) {
  console.error(`lint-grafana: ${problems.length} problems`);
  process.exitCode = 1;
} else {
  console.log(`lint-grafana: ${counted.panels} panels, ${counted.queries} queries, ${counted.variables} variables: Grafana's types, PromQL and our conventions hold`);
}
