/** Runs the panels' queries and processes the results like Grafana: joins rows, selects and names columns. */
import { Prometheus, type Curve, type Sample } from './prometheus.js';
import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import { interpolate, panels, targets } from './promql.js';

/** A table's cell: a label's text, a query's value, or nothing. */
export type Cell = string | number | undefined;

/** The result of one panel. `rows` has the number of rows of each query, in the panel's order. */
export interface Answered {
  panel: Panel;
  queries: { refId: string; sent: string; rows: number }[];
  samples: Sample[];
  curves: { name: string; points: Curve['points'] }[];
  columns: string[];
  cells: Cell[][];
}

/** The time and the range of the picture, in Unix seconds, and the variables' values. */
export interface Asked {
  end: number;
  start: number;
  step: number;
  values: Record<string, string>;
}

type RowOf = Map<string, Cell>;

/** Joins the answers of several queries: rows that agree on every label common to all answers become one. */
export function merge(frames: RowOf[][]): RowOf[] {
  const filled = frames.filter((frame) => frame.length > 0);
  const labelsOf = (frame: RowOf[]) => new Set(frame.flatMap((row) => [...row.keys()]).filter((name) => !name.startsWith('Value')));
  const common = filled.map(labelsOf).reduce((left, right) => new Set([...left].filter((name) => right.has(name))), labelsOf(filled[0] ?? []));
  const joined: RowOf[] = [];
  for (const row of filled.flat()) {
    const into = joined.find(
      (other) =>
        [...common].every((name) => (other.get(name) ?? '') === (row.get(name) ?? '')) &&
        [...row].every(([name, value]) => !other.has(name) || (other.get(name) ?? '') === (value ?? '')),
    );
    if (into === undefined) {
      joined.push(new Map(row));
    } else {
      row.forEach((value, name) => into.set(name, value));
    }
  }
  return joined;
}

function tabulated(panel: Panel, answers: { refId: string; samples: Sample[] }[]): { columns: string[]; cells: Cell[][] } {
  const filled = answers.filter(({ samples }) => samples.length > 0).length;
  let rows = merge(
    answers.map(({ refId, samples }) =>
      samples.map(({ labels, value }) => new Map<string, Cell>([...Object.entries(labels), [filled > 1 ? `Value #${refId}` : 'Value', value]])),
    ),
  );
  let order: string[] = [];
  let heading: Record<string, string> = {};
  for (const step of panel.transformations ?? []) {
    const options = step.options as { include: { names: string[] }; indexByName?: Record<string, number>; renameByName?: Record<string, string> };
    if (step.id === 'filterFieldsByName') {
      rows = rows.map((row) => new Map([...row].filter(([name]) => options.include.names.includes(name))));
    } else if (step.id === 'organize') {
      const { indexByName = {}, renameByName = {} } = options;
      order = Object.keys(indexByName).sort((left, right) => (indexByName[left] ?? 0) - (indexByName[right] ?? 0));
      heading = renameByName;
    }
  }
  // Grafana omits empty columns too.
  const there = order.filter((name) => rows.some((row) => row.get(name) !== undefined));
  const columns = there.map((name) => heading[name] ?? name);
  const sort = (panel.options as { sortBy?: { displayName: string; desc?: boolean }[] }).sortBy?.[0];
  const by = there[columns.indexOf(sort?.displayName ?? '')];
  if (by !== undefined) {
    const compare = (left: Cell, right: Cell) =>
      typeof left === 'number' || typeof right === 'number' ? Number(left ?? -1) - Number(right ?? -1) : `${left ?? ''}`.localeCompare(`${right ?? ''}`);
    rows.sort((left, right) => compare(left.get(by), right.get(by)) * (sort?.desc === true ? -1 : 1));
  }
  return { columns, cells: rows.map((row) => there.map((name) => row.get(name))) };
}

/** A curve's name: the legend with the labels substituted. */
export function legend(format: string, labels: Record<string, string>): string {
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => labels[name] ?? '').trim();
}

async function answer(panel: Panel, prometheus: Prometheus, asked: Asked): Promise<Answered> {
  const answered: Answered = { panel, queries: [], samples: [], curves: [], columns: [], cells: [] };
  const tables: { refId: string; samples: Sample[] }[] = [];
  const ask = async (target: Dataquery) => {
    const refId = target.refId ?? '';
    const sent = interpolate(target.expr, { ...asked.values, __range: `${asked.end - asked.start}s` });
    if (target.range === true) {
      const curves = await prometheus.along(sent, asked.start, asked.end, asked.step);
      answered.curves.push(...curves.map(({ labels, points }) => ({ name: legend(target.legendFormat ?? '', labels), points })));
      answered.queries.push({ refId, sent, rows: curves.length });
    } else {
      const samples = await prometheus.at(sent, asked.end);
      tables.push({ refId, samples });
      answered.samples.push(...samples);
      answered.queries.push({ refId, sent, rows: samples.length });
    }
  };
  for (const target of targets(panel)) {
    await ask(target);
  }
  return panel.type === 'table' ? { ...answered, ...tabulated(panel, tables) } : answered;
}

/** The answers of all panels, in the dashboard's order. */
export async function answers(dashboard: Dashboard, prometheus: Prometheus, asked: Asked): Promise<Answered[]> {
  const all: Answered[] = [];
  for (const panel of panels(dashboard)) {
    all.push(await answer(panel, prometheus, asked));
  }
  return all;
}
