/**
 * Draws the dashboard with the results of its queries: every panel in its place, with its title and values.
 *
 * The picture shows the content and the layout, and does not imitate Grafana's look.
 */
import type { Answered, Asked, Cell } from './answers.js';
import type { Dashboard, FieldConfigSource, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { inUnit, settings, show } from './shown.js';
import { cut, document, line, path, rect, text, widthOf, wrapped, type Box, type Ink } from './svg.js';

const width = 1440;
const unitHeight = 32;
const gap = 8;
const top = 150;

const colors: Record<string, string> = {
  green: '#1a7f37',
  red: '#cf222e',
  orange: '#bc4c00',
  purple: '#8250df',
  blue: '#0969da',
  text: '#24292f',
};
const palette = ['#0969da', '#bf8700', '#8250df', '#1a7f37', '#cf222e', '#1b7c83', '#bc4c00', '#6639ba', '#57606a', '#a40e26'];
const muted = '#57606a';
const frame = '#d0d7de';

const named = (color: string | undefined): string => colors[color ?? 'text'] ?? '#24292f';

const gridColumns = 24;
const fieldConfig = (panel: Panel): FieldConfigSource => panel.fieldConfig ?? { defaults: {}, overrides: [] };

function empty(panel: Panel, box: Box): string[] {
  const ink: Ink = { size: 14, color: muted, anchor: 'middle' };
  const lines = wrapped(fieldConfig(panel).defaults.noValue ?? '', box.w - 24, ink);
  const first = box.y + box.h / 2 - ((lines.length - 1) * 18) / 2 + 5;
  return lines.map((one, index) => text(box.x + box.w / 2, first + index * 18, one, ink));
}

function drawStat({ panel, samples, queries }: Answered, box: Box, asked: Asked): string[] {
  const background = panel.type === 'stat' && (panel.options as { colorMode?: string }).colorMode === 'background';
  const names = panel.type === 'stat' && (panel.options as { textMode?: string }).textMode === 'value_and_name';
  if (queries.length !== 1) {
    throw new Error(`stat: ${panel.title ?? ''}: expected one query, got ${queries.length}`);
  }
  return samples.flatMap(({ labels, value }, index) => {
    const { text: value_, color } = show(value, fieldConfig(panel).defaults, asked.end);
    const h = box.h / samples.length;
    const part: Box = { x: box.x, y: box.y + index * h, w: box.w, h: h - 2 };
    const ink: Ink = { size: Math.min(34, h * 0.55), bold: true, anchor: 'middle', color: background ? '#ffffff' : named(color) };
    const name = names ? (labels['version'] ?? '') : '';
    const middle = part.y + part.h / 2 + ink.size * 0.36;
    return [
      ...(background ? [rect(part, named(color), 'none', 4)] : []),
      ...(name === ''
        ? [text(part.x + part.w / 2, middle, value_, ink)]
        : [text(part.x + part.w / 2, middle, `${name}: ${value_}`, { ...ink, size: Math.min(ink.size, 22) })]),
    ];
  });
}

/** The configured widths; the others in proportion to the columns' content. */
function widths(columns: string[], texts: string[][], fixed: (number | undefined)[], room: number): number[] {
  const ink: Ink = { size: 12 };
  const wanted = columns.map((column, index) => Math.min(300, Math.max(widthOf(column, { size: 12, bold: true }), ...texts.map((row) => widthOf(row[index] ?? '', ink))) + 24));
  const given = fixed.reduce((sum: number, one) => sum + (one ?? 0), 0);
  const rest = wanted.reduce((sum, one, index) => sum + (fixed[index] === undefined ? one : 0), 0);
  return wanted.map((one, index) => fixed[index] ?? (one * (room - given)) / rest);
}

function drawTable({ panel, columns, cells }: Answered, box: Box, asked: Asked): string[] {
  const field = fieldConfig(panel);
  const configured = columns.map((column) => settings(field, column));
  const read = (cell: Cell, column: number) => (cell === undefined ? { text: '', color: undefined } : show(cell, configured[column] ?? {}, asked.end));
  const height = 21;
  const fitting = Math.floor((box.h - height) / height);
  const kept = cells.length > fitting ? cells.slice(0, fitting - 1) : cells;
  const shown = kept.map((row) => row.map(read));
  const fixed = configured.map((one) => (one as { 'custom.width'?: number })['custom.width']);
  const wide = widths(columns, shown.map((row) => row.map((one) => one.text)), fixed, box.w);
  const left = wide.map((_, index) => box.x + wide.slice(0, index).reduce((sum, one) => sum + one, 0));
  const out: string[] = [];
  columns.forEach((column, index) => {
    const ink: Ink = { size: 12, bold: true, color: muted };
    out.push(text((left[index] ?? 0) + 4, box.y + 14, cut(column, (wide[index] ?? 0) - 6, ink), ink));
  });
  shown.forEach((row, number) => {
    const y = box.y + height * (number + 1);
    out.push(line(box.x, y, box.x + box.w, y, '#eaeef2'));
    row.forEach((one, index) => {
      const settled = configured[index] as { 'custom.cellOptions'?: { type: string } } | undefined;
      const cell: Box = { x: left[index] ?? 0, y: y + 1, w: (wide[index] ?? 0) - 4, h: height - 2 };
      const filled = settled?.['custom.cellOptions']?.type === 'color-background' && one.color !== undefined;
      const tinted = settled?.['custom.cellOptions'] !== undefined && one.color !== undefined;
      if (filled) {
        out.push(rect(cell, named(one.color), 'none', 3));
      }
      const ink: Ink = { size: 12, color: filled ? '#ffffff' : named(tinted ? one.color : 'text') };
      out.push(text(cell.x + 4, y + 15, cut(one.text, cell.w - 6, ink), ink));
    });
  });
  if (kept.length < cells.length) {
    const y = box.y + height * (kept.length + 1);
    out.push(text(box.x + 4, y + 15, `… and ${cells.length - kept.length} more rows (the panel scrolls)`, { size: 12, color: muted }));
  }
  return out;
}

/** A round number at or above the max value, for the end of the axis. */
function ceiling(value: number): number {
  if (value <= 0) {
    return 1;
  }
  const scale = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * scale >= value) ?? 10) * scale;
}

function drawGraph({ panel, curves }: Answered, box: Box, asked: Asked): string[] {
  const { defaults } = fieldConfig(panel);
  const unit = defaults.unit ?? 'none';
  const custom = defaults.custom as { stacking?: { mode?: string }; drawStyle?: string } | undefined;
  const stacked = custom?.stacking?.mode === 'normal' || custom?.drawStyle === 'bars';
  const moments = [...new Set(curves.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const below = new Map(moments.map((at) => [at, 0]));
  const layers = curves.map(({ name, points }) => {
    const values = new Map(points);
    return {
      name,
      last: points.at(-1)?.[1],
      // A step starts at its own time, so a step at the end has no width.
      points: points.filter(([at]) => at < asked.end).map(([at, value]): [number, number, number] => {
        const base = stacked ? (below.get(at) ?? 0) : 0;
        below.set(at, base + (values.get(at) ?? 0));
        return [at, base, base + value];
      }),
    };
  });
  const most = defaults.max ?? ceiling(Math.max(0, ...layers.flatMap(({ points }) => points.map(([, , value]) => value))));
  const legendWidth = Math.min(box.w * 0.46, 370);
  const plot: Box = { x: box.x + 66, y: box.y + 6, w: box.w - legendWidth - 76, h: box.h - 28 };
  const across = (at: number) => plot.x + ((at - asked.start) / (asked.end - asked.start)) * plot.w;
  const up = (value: number) => plot.y + plot.h - (value / most) * plot.h;
  const small: Ink = { size: 11, color: muted };
  const out: string[] = [];
  for (const part of [0, 0.5, 1]) {
    out.push(line(plot.x, up(most * part), plot.x + plot.w, up(most * part), '#eaeef2'));
    out.push(text(plot.x - 4, up(most * part) + 4, inUnit(most * part, unit, asked.end), { ...small, anchor: 'end' }));
  }
  const clock = (at: number) => new Date(at * 1000).toISOString().slice(11, 16);
  out.push(text(plot.x, plot.y + plot.h + 16, clock(asked.start), small));
  out.push(text(plot.x + plot.w, plot.y + plot.h + 16, `${clock(asked.end)} UTC`, { ...small, anchor: 'end' }));
  layers.forEach(({ name, last, points }, index) => {
    const color = palette[index % palette.length] ?? muted;
    const stepped = points.flatMap(([at, base, value], number): [number, number, number][] => {
      const next = points[number + 1]?.[0];
      const until = next !== undefined && next - at <= asked.step * 1.5 ? next : Math.min(at + asked.step, asked.end);
      return [
        [at, base, value],
        [until, base, value],
      ];
    });
    const upper = stepped.map(([at, , value]): [number, number] => [across(at), up(value)]);
    if (stacked) {
      const lower = stepped.map(([at, base]): [number, number] => [across(at), up(base)]).reverse();
      out.push(path([...upper, ...lower], 'none', `${color}55`));
    }
    out.push(path(upper, color));
    const y = box.y + 16 + index * 17;
    if (y < box.y + box.h) {
      const x = plot.x + plot.w + 12;
      const value = last === undefined ? '' : inUnit(last, unit, asked.end);
      const room = box.x + box.w - x - 16 - widthOf(value, small) - 4;
      out.push(rect({ x, y: y - 7, w: 10, h: 4 }, color));
      out.push(text(x + 16, y, cut(name === '' ? '(all)' : name, room, small), { ...small, color: '#24292f' }));
      out.push(text(box.x + box.w - 2, y, value, { ...small, anchor: 'end' }));
    }
  });
  return out;
}

function drawPanel(answered: Answered, asked: Asked): string[] {
  const { panel } = answered;
  const { x, y, w, h } = panel.gridPos ?? { x: 0, y: 0, w: gridColumns, h: 1 };
  const column = (width - gap) / gridColumns;
  const outer: Box = { x: gap + x * column, y: top + y * unitHeight, w: w * column - gap, h: h * unitHeight - gap };
  const heading: Ink = { size: 13, bold: true };
  const inner: Box = { x: outer.x + 10, y: outer.y + 30, w: outer.w - 20, h: outer.h - 38 };
  const nothing = answered.queries.every(({ rows }) => rows === 0);
  const body =
    nothing ? empty(panel, inner)
    : panel.type === 'stat' ? drawStat(answered, inner, asked)
    : panel.type === 'table' ? drawTable(answered, inner, asked)
    : drawGraph(answered, inner, asked);
  return [rect(outer, '#ffffff', frame, 4), text(outer.x + 10, outer.y + 20, cut(panel.title ?? '', outer.w - 16, heading), heading), ...body];
}

/** The dashboard's variables in the picture. */
function chosen(dashboard: Dashboard, asked: Asked): string {
  return (dashboard.templating?.list ?? [])
    .filter(({ name }) => name in asked.values)
    .map(({ name, label, options }) => {
      const value = asked.values[name] ?? '';
      const option = options?.find((one) => one.value === value)?.text;
      return `${label ?? name}: ${option ?? (value === '.*' ? 'All' : value)}`;
    })
    .join('   ·   ');
}

/** The picture of a dashboard. `where` describes the source of the results. */
export function picture(dashboard: Dashboard, all: Answered[], asked: Asked, where: string): string {
  const rows = (dashboard.panels ?? []).filter((panel) => panel.type === 'row');
  const bottom = Math.max(...(dashboard.panels ?? []).map(({ gridPos }) => (gridPos?.y ?? 0) + (gridPos?.h ?? 0)));
  const height = top + bottom * unitHeight + gap;
  const at = new Date(asked.end * 1000).toISOString().slice(0, 16).replace('T', ' ');
  return document(width, height, `The dashboard of plainsight with live answers, ${at} UTC`, [
    text(gap + 10, 36, dashboard.title ?? '', { size: 22, bold: true }),
    text(gap + 10, 62, where, { size: 13, color: muted }),
    text(gap + 10, 82, `Every value is the answer of that panel's own query at ${at} UTC. This is a drawing of the layout, not a picture of Grafana.`, { size: 13, color: muted }),
    rect({ x: gap, y: 98, w: width - 2 * gap, h: 36 }, '#ffffff', frame, 4),
    text(gap + 10, 121, chosen(dashboard, asked), { size: 13 }),
    ...rows.map((row) => text(gap + 2, top + (row.gridPos?.y ?? 0) * unitHeight + 21, `▾ ${row.title ?? ''}`, { size: 15, bold: true })),
    ...all.flatMap((one) => drawPanel(one, asked)),
  ]);
}
