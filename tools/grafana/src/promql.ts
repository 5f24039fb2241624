/**
 * Checks the queries: each must parse as PromQL once Grafana has put the variables' values in, and use only series
 * that the recording rules make.
 */
import { createRequire } from 'node:module';
import type { LRParser } from '@lezer/lr';
import type { Dashboard } from './shape.js';
import type { Problem } from './problem.js';

// The package's ES module carries a name that Node takes for CommonJS.
const { parser } = createRequire(import.meta.url)('@prometheus-io/lezer-promql') as { parser: LRParser };

/** What Grafana puts in for its own variables; any duration and number does for parsing. */
const builtIn: Record<string, string> = { __rate_interval: '75s', __interval: '1m', __interval_ms: '60000', __range: '86400s' };

/** One query and where it stands in the file. */
export interface Placed {
  path: string;
  expr: string;
}

/** All queries of the panels, in the file's order. */
export function queries(dashboard: Dashboard): Placed[] {
  return dashboard.panels.flatMap((panel, index) =>
    'targets' in panel ? (panel.targets ?? []).map((target, at) => ({ path: `panels[${index}].targets[${at}].expr`, expr: target.expr })) : [],
  );
}

/** The query as Grafana sends it: `$name`, `${name}` and `[[name]]` replaced; what `values` does not know stays. */
export function interpolate(expr: string, values: Record<string, string>): string {
  return expr.replace(/\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]/g, (whole, ...names: (string | undefined)[]) => {
    const name = names.slice(0, 3).find((one) => one !== undefined) ?? '';
    return values[name] ?? builtIn[name] ?? whole;
  });
}

/** The values each variable starts with; `All` by its regular expression. */
export function initialValues(dashboard: Dashboard): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, type, current, allValue } of dashboard.templating.list) {
    if (type === 'query' || type === 'custom') {
      const value = current?.value;
      values[name] = Array.isArray(value) ? (allValue ?? value.join('|')) : (value ?? '');
    }
  }
  return values;
}

/** The first place where a text stops being PromQL, or nothing. */
function syntaxError(expr: string): string | undefined {
  let found: string | undefined;
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.type.isError && found === undefined) {
        found = `not PromQL at "${expr.slice(node.from, node.from + 30)}" (character ${node.from})`;
      }
    },
  });
  return found;
}

/** The names of the series that a query selects. */
export function seriesOf(expr: string): string[] {
  const names = new Set<string>();
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector') {
        names.add(expr.slice(node.from, node.to));
      }
    },
  });
  return [...names];
}

/** Every query that does not parse, leaves a variable unknown, or asks for a series nobody records. */
export function againstPromql(dashboard: Dashboard, recorded: ReadonlySet<string>): Problem[] {
  const values = initialValues(dashboard);
  return queries(dashboard).flatMap(({ path, expr }) => {
    const sent = interpolate(expr, values);
    const unknown = sent.match(/\$\{?\w+/);
    if (unknown !== null) {
      return [{ path, what: `variable: not defined in this dashboard: ${unknown[0]}` }];
    }
    const broken = syntaxError(sent);
    if (broken !== undefined) {
      return [{ path, what: broken }];
    }
    const series = seriesOf(sent);
    if (series.length === 0) {
      return [{ path, what: `query: selects no series: ${expr}` }];
    }
    return series.filter((one) => !recorded.has(one)).map((one) => ({ path, what: `series: no rule records it: ${one}` }));
  });
}

/** The names that a rules file records: each `record: NAME` line. */
export function recordedIn(rules: string): Set<string> {
  return new Set([...rules.matchAll(/^\s*-?\s*record:\s*(\S+)\s*$/gm)].map((found) => found[1] ?? ''));
}
