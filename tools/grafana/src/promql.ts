/** The queries of a dashboard: variable substitution, parsing, and the selected series. */
import { createRequire } from 'node:module';
import type { Dashboard, Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import type { LRParser } from '@lezer/lr';

// Node takes the package's ES module for CommonJS because of its name.
const { parser } = createRequire(import.meta.url)('@prometheus-io/lezer-promql') as { parser: LRParser };

/** Values of Grafana's own variables; any duration works for parsing. */
const builtIn: Record<string, string> = { __rate_interval: '75s', __interval: '1m', __range: '86400s' };

/** The panels without row headings. */
export function panels(dashboard: Dashboard): Panel[] {
  return (dashboard.panels ?? []).filter((panel: Panel | RowPanel): panel is Panel => panel.type !== 'row');
}

/** A panel's queries; Prometheus is the only data source of this dashboard. */
export function targets(panel: Panel): Dataquery[] {
  return (panel.targets ?? []) as Dataquery[];
}

/** The query as Grafana sends it: replaces `$name`, `${name}` and `${name:text}`; unknown variables are kept. */
export function interpolate(expr: string, values: Record<string, string>): string {
  return expr.replace(/\$(\w+)|\$\{(\w+(?::text)?)\}/g, (whole, ...names: (string | undefined)[]) => {
    const name = names[0] ?? names[1] ?? '';
    return values[name] ?? builtIn[name] ?? whole;
  });
}

/** The choices of a fixed-value variable: `name` is the value, `name:text` the text. */
export function choices(dashboard: Dashboard, variable: string): Record<string, string>[] {
  const options = dashboard.templating?.list?.find(({ name }) => name === variable)?.options ?? [];
  return options.map(({ text, value }) => ({ [variable]: `${value}`, [`${variable}:text`]: `${text}` }));
}

/** The values each variable starts with; `All` by its regular expression. */
export function initialValues(dashboard: Dashboard): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { name, type, current, allValue } of dashboard.templating?.list ?? []) {
    if (type === 'query') {
      values[name] = allValue ?? '';
    } else if (type === 'custom') {
      values[name] = `${current?.value ?? ''}`;
      values[`${name}:text`] = `${current?.text ?? ''}`;
    }
  }
  return values;
}

/** The position of the first PromQL syntax error, if any. */
export function syntaxError(expr: string): string | undefined {
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

/** The selectors of a query: the series' name and its matchers. */
export function selectorsOf(expr: string): { name: string; matchers: string }[] {
  const found: { name: string; matchers: string }[] = [];
  parser.parse(expr).iterate({
    enter: (node) => {
      if (node.name === 'VectorSelector') {
        const [name = '', matchers = ''] = expr.slice(node.from, node.to).split(/(?=\{)/);
        found.push({ name: name.trim(), matchers });
      }
    },
  });
  return found;
}
