/** The list of queries with the number of rows each one got, as a page for the documentation. */
import type { Answered, Asked } from './answers.js';
import type { Dashboard } from './shape.js';

/** A text that cannot break the table it stands in. */
const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');

/** The page: one row for each query, in the dashboard's order, with the query as it was sent. */
export function listed(dashboard: Dashboard, all: Answered[], asked: Asked, where: string): string {
  const at = new Date(asked.end * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const values = Object.entries(asked.values)
    .map(([name, value]) => `\`${name}\` = \`${value}\``)
    .join(', ');
  const lines = all.flatMap(({ panel, queries }) =>
    queries.map(({ refId, sent, rows }) => `| ${cell(panel.title ?? '')} | ${refId} | ${rows} | \`${cell(sent)}\` |`),
  );
  const silent = all.filter(({ queries }) => queries.every(({ rows }) => rows === 0));
  return [
    '# The dashboard’s queries and their rows',
    '',
    `Written by \`make dashboard-picture\`, together with [dashboard.svg](dashboard.svg). ${where}`,
    '',
    `Asked at ${at} UTC, over ${Math.round((asked.end - asked.start) / 60)} minutes, with ${cell(values)}.`,
    '',
    '| panel | query | rows | PromQL as sent |',
    '|---|---|---|---|',
    ...lines,
    '',
    ...(silent.length === 0
      ? []
      : [
          'Panels without a row here, and what they say then:',
          '',
          ...silent.map(({ panel }) => `- ${panel.title ?? ''}: “${panel.fieldConfig.defaults.noValue ?? ''}”`),
          '',
        ]),
    `${dashboard.panels.filter(({ type }) => type !== 'row').length} panels, ${lines.length} queries.`,
    '',
  ].join('\n');
}
