/** Paths of files, relative to the compiled script in `tools/grafana/build/src`. */
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const repository = fileURLToPath(new URL('../../../../', import.meta.url));

/** The dashboard that users import. */
export const dashboardFile = `${repository}envoy-config/grafana/plainsight.json`;

/** The recording rules whose series the queries use. */
export const rulesFile = `${repository}envoy-config/prometheus/plainsight.rules.yml`;

/** The scrape jobs. */
export const prometheusFile = `${repository}envoy-config/prometheus/prometheus.yml`;

/** The page that the caller tables link to. */
export const runbookFile = `${repository}docs/runbook.md`;
