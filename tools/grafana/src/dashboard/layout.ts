/**
 * Panels with what all of them share: the data source variable, their place, and no setting left to chance.
 *
 * Nothing here knows what the dashboard shows; that is in the files beside it.
 */
import type { DataLink, FieldConfig, Panel, Property, Query, Row, Transformation } from '../shape.js';

/** The dashboard's own address; the links in its tables lead back to it with other variables. */
export const uid = 'plainsight';

/** The data source chosen at the top: never a fixed one, so the file works by import and by provisioning alike. */
export const datasource = { type: 'prometheus', uid: '${datasource}' };

/** Columns of Grafana's grid. */
export const columns = 24;

type Thresholds = { color: string; value: number | null }[];

interface Shown {
  title: string;
  description: string;
  /** Width in columns of 24. */
  w: number;
  /** What stands there when the query finds nothing. */
  noValue: string;
  unit: string;
  thresholds?: Thresholds;
}

/** A panel without its place and number, which `stack` gives. */
export type Unplaced = Panel extends infer One ? (One extends Panel ? Omit<One, 'id' | 'gridPos'> & { w: number } : never) : never;

/** Steps that colour nothing: Grafana's own default would colour everything above 80 red. */
const plain: Thresholds = [{ color: 'text', value: null }];

/** Green at 0, red from 1: counts of what must not be there. */
export const noneIsGood: Thresholds = [
  { color: 'green', value: null },
  { color: 'red', value: 1 },
];

/** Green at 0, orange from 1: counts that need a look. */
export const noneIsBest: Thresholds = [
  { color: 'green', value: null },
  { color: 'orange', value: 1 },
];

function defaults(shown: Shown): FieldConfig<never>['defaults'] {
  return {
    unit: shown.unit,
    noValue: shown.noValue,
    thresholds: { mode: 'absolute', steps: shown.thresholds ?? plain },
  };
}

/** A query answered once, at the end of the time range, one row for each series. */
export function rows(refId: string, expr: string): Query {
  return { refId, datasource, expr, instant: true, range: false, format: 'table', editorMode: 'code' };
}

/** A query answered along the time range. */
export function lines(refId: string, expr: string, legendFormat: string): Query {
  return { refId, datasource, expr, instant: false, range: true, legendFormat, editorMode: 'code' };
}

/** One number. */
export function stat(shown: Shown & { expr: string; legend?: string; textMode?: 'auto' | 'value_and_name'; background?: boolean; url?: DataLink }): Unplaced {
  return {
    type: 'stat',
    w: shown.w,
    title: shown.title,
    description: shown.description,
    datasource,
    targets: [
      {
        refId: 'A',
        datasource,
        expr: shown.expr,
        instant: true,
        range: false,
        editorMode: 'code',
        ...(shown.legend === undefined ? {} : { legendFormat: shown.legend }),
      },
    ],
    fieldConfig: {
      defaults: { ...defaults(shown), ...(shown.url === undefined ? {} : { links: [shown.url] }) },
      overrides: [],
    },
    options: {
      colorMode: (shown.background ?? true) ? 'background' : 'value',
      graphMode: 'none',
      justifyMode: 'auto',
      orientation: 'auto',
      percentChangeColorMode: 'standard',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      showPercentChange: false,
      textMode: shown.textMode ?? 'auto',
      wideLayout: true,
    },
  };
}

/** A column: the label or value it shows, its heading, and what is special about it. */
export interface Column {
  from: string;
  to: string;
  properties?: Property<import('@grafana/schema').TableFieldOptions>[];
}

/** A table whose queries are joined on their common labels; columns not named are left out. */
export function table(
  shown: Shown & { queries: Query[]; columns: Column[]; sort: { field: string; desc: boolean } },
): Unplaced {
  // Grafana calls the value of one query among several "Value #A", but plain "Value" when the others found nothing.
  const first = shown.columns.findIndex((column) => column.from === 'Value #A');
  const sources = shown.columns.map((column, index) => ({ from: column.from, to: column.to, index }));
  const alone = sources[first];
  const named = alone === undefined ? sources : [...sources, { ...alone, from: 'Value' }];
  const transformations: Transformation[] = [
    ...(shown.queries.length > 1 ? [{ id: 'merge' as const, options: {} }] : []),
    { id: 'filterFieldsByName', options: { include: { names: named.map(({ from }) => from) } } },
    {
      id: 'organize',
      options: {
        indexByName: Object.fromEntries(named.map(({ from, index }) => [from, index])),
        renameByName: Object.fromEntries(named.map(({ from, to }) => [from, to])),
      },
    },
  ];
  return {
    type: 'table',
    w: shown.w,
    title: shown.title,
    description: shown.description,
    datasource,
    targets: shown.queries,
    transformations,
    fieldConfig: {
      defaults: {
        ...defaults(shown),
        custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: true, inspect: false },
      },
      overrides: shown.columns
        .filter((column) => column.properties !== undefined)
        .map((column) => ({ matcher: { id: 'byName', options: column.to }, properties: column.properties ?? [] })),
    },
    options: { cellHeight: 'sm', frameIndex: 0, showHeader: true, sortBy: [{ displayName: shown.sort.field, desc: shown.sort.desc }] },
  };
}

/** Values along the time range. */
export function graph(
  shown: Shown & { queries: Query[]; style: 'line' | 'bars' | 'stacked'; max?: number },
): Unplaced {
  const stacked = shown.style !== 'line';
  return {
    type: 'timeseries',
    w: shown.w,
    title: shown.title,
    description: shown.description,
    datasource,
    targets: shown.queries,
    // The rules are evaluated once a minute: finer steps would show the same numbers twice.
    interval: '1m',
    fieldConfig: {
      defaults: {
        ...defaults(shown),
        min: 0,
        ...(shown.max === undefined ? {} : { max: shown.max }),
        color: { mode: 'palette-classic-by-name' },
        custom: {
          drawStyle: shown.style === 'bars' ? 'bars' : 'line',
          lineInterpolation: 'stepAfter',
          lineWidth: 1,
          fillOpacity: stacked ? 40 : 10,
          showPoints: 'auto',
          spanNulls: false,
          stacking: { group: 'A', mode: stacked ? 'normal' : 'none' },
          thresholdsStyle: { mode: 'off' },
        },
      },
      overrides: [],
    },
    options: {
      legend: { calcs: ['lastNotNull', 'max'], displayMode: 'table', placement: 'right', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  };
}

/** One line of panels: they stand side by side and have one height. */
export interface Line {
  h: number;
  panels: Unplaced[];
}

/** A heading and the lines below it. A line's widths must add up to the whole grid. */
export interface Section {
  title: string;
  lines: Line[];
}

/**
 * Gives every panel its place and its number, from top to bottom.
 *
 * # Errors
 * A line that does not fill the grid: `line: Readiness[0]: widths add up to 22, not 24`.
 */
export function stack(sections: Section[]): (Panel | Row)[] {
  const placed: (Panel | Row)[] = [];
  let y = 0;
  for (const [part, section] of sections.entries()) {
    // Numbers leave room, so that a panel added to one section renumbers no other.
    let id = (part + 1) * 100;
    placed.push({ type: 'row', id, title: section.title, collapsed: false, gridPos: { h: 1, w: columns, x: 0, y }, panels: [] });
    y += 1;
    for (const [number, line] of section.lines.entries()) {
      const width = line.panels.reduce((sum, panel) => sum + panel.w, 0);
      if (width !== columns) {
        throw new Error(`line: ${section.title}[${number}]: widths add up to ${width}, not ${columns}`);
      }
      let x = 0;
      for (const { w, ...panel } of line.panels) {
        id += 1;
        placed.push({ id, gridPos: { h: line.h, w, x, y }, ...panel } as Panel);
        x += w;
      }
      y += line.h;
    }
  }
  return placed;
}
