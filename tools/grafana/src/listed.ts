/**
 * Writes the page that lists the dashboard's queries with the rows each had in the live check.
 *
 *     make --silent test-live | node build/src/listed.js > docs/dashboard-queries.md
 *
 * The live check prints a line for each query; a query without one, or a line without a query, is an error.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { dashboardFile } from './files.js';
import type { Problem } from './problem.js';
import type { Dashboard } from './shape.js';

/** What the live check says of one query: rows as the dashboard opens, and every count over the variables' values. */
export interface Counted {
  rows: number;
  byVariable: number[];
}

/** The lines `query  TITLE REFID  rows N, by variable {N, N}` of a live check's output, and its last line. */
export function counts(output: string): { queries: Map<string, Counted>; verdict: string } {
  const queries = new Map<string, Counted>();
  for (const found of output.matchAll(/^query\s+(\S.*?)\s+rows\s+(\d+), by variable \{([\d, ]*)\}$/gm)) {
    const [, name = '', rows = '', spread = ''] = found;
    queries.set(name, { rows: Number(rows), byVariable: spread.split(',').map(Number) });
  }
  const verdict = /^live-check: (.*answered as the traffic implies).*$/m.exec(output)?.[1];
  if (verdict === undefined) {
    throw new Error('listed: the live check did not end well: no line that says so');
  }
  return { queries, verdict };
}

/** A text that cannot break the table it stands in. */
const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');

/**
 * The page: one row for each query, in the dashboard's order.
 *
 * # Errors
 * The live check and the dashboard do not have the same queries.
 */
export function page(dashboard: Dashboard, output: string): string {
  const { queries, verdict } = counts(output);
  const lines: string[] = [];
  for (const panel of dashboard.panels) {
    for (const target of panel.type === 'row' ? [] : (panel.targets ?? [])) {
      const name = `${panel.title ?? ''} ${target.refId ?? ''}`;
      const counted = queries.get(name);
      if (counted === undefined) {
        throw new Error(`listed: ${name}: the live check says nothing of it`);
      }
      queries.delete(name);
      lines.push(`| ${cell(name)} | ${counted.rows} | ${counted.byVariable.join(', ')} | \`${cell(target.expr)}\` |`);
    }
  }
  if (queries.size > 0) {
    throw new Error(`listed: ${[...queries.keys()].join(', ')}: not in the dashboard`);
  }
  return [
    '# The dashboard’s queries and their rows',
    '',
    'Written by `make dashboard-queries` from a run of the live check (`make test-live`): a real Prometheus with the shipped rules scrapes real',
    'Envoys, callers of every kind call, and each query must have the rows that the traffic implies, for each value of each variable. Only the',
    'rules’ durations are shortened there (`live-check/src/pace.rs`), so that a run takes a minute and not a month.',
    '',
    `That run: ${verdict}.`,
    '',
    '*Rows* is what the dashboard shows as it opens; *by variable* are all the counts that the variables’ values led to.',
    '',
    '| query | rows | by variable | PromQL |',
    '|---|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

/** The queries that the page lacks or has otherwise: it was written from an earlier dashboard. */
export function stale(dashboard: Dashboard, text: string): Problem[] {
  const lines = text.split('\n');
  return dashboard.panels.flatMap((panel, index) =>
    panel.type === 'row'
      ? []
      : (panel.targets ?? [])
          .filter(({ refId, expr }) => {
            const start = `| ${cell(`${panel.title ?? ''} ${refId ?? ''}`)} | `;
            return !lines.some((line) => line.startsWith(start) && line.endsWith(` | \`${cell(expr)}\` |`));
          })
          .map(({ refId }) => ({ path: `panels[${index}]`, what: `query ${refId ?? ''}: docs/dashboard-queries.md has it otherwise: run \`make dashboard-queries\`` })),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.stdout.write(page(JSON.parse(readFileSync(dashboardFile, 'utf8')) as Dashboard, readFileSync(0, 'utf8')));
}
