/** Where the files lie, seen from the compiled script in `tools/grafana/build/src`. */
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const repository = fileURLToPath(new URL('../../../../', import.meta.url));

/** The package of these scripts, with its `node_modules`. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** The dashboard. */
export const dashboardFile = `${repository}envoy-config/grafana/plainsight.json`;

/** The recording rules whose series the queries use. */
export const rulesFile = `${repository}envoy-config/prometheus/plainsight.rules.yml`;

/** The page that lists the queries with their rows. */
export const queriesPage = `${repository}docs/dashboard-queries.md`;
