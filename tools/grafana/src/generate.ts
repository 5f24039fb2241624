/**
 * Writes `envoy-config/grafana/plainsight.json`.
 *
 *     node build/src/generate.js
 */
import { writeFileSync } from 'node:fs';
import { dashboard } from './dashboard.js';
import { dashboardFile } from './files.js';
import { written } from './lint.js';

writeFileSync(dashboardFile, written(dashboard()));
