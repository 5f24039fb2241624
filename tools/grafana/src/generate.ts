/**
 * Writes `envoy-config/grafana/plainsight.json`, or with `--check` says whether it is what the source makes of it.
 *
 *     node build/src/generate.js [--check] [FILE]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dashboard } from './dashboard.js';
import { dashboardFile } from './files.js';

const check = process.argv.includes('--check');
const file = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? dashboardFile;
const wanted = `${JSON.stringify(dashboard, null, 2)}\n`;

if (!check) {
  writeFileSync(file, wanted);
} else if (readFileSync(file, 'utf8') !== wanted) {
  console.error(`dashboard: ${file}: is not what tools/grafana/src/dashboard makes: run \`make gen-grafana\``);
  process.exitCode = 1;
}
