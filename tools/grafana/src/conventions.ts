/** What every panel and variable of this dashboard owes its reader, beyond what Grafana's types demand. */
import { columns, datasource, uid } from './dashboard/layout.js';
import type { Problem } from './problem.js';
import type { Dashboard, Panel, Row } from './shape.js';

/** Variables that the documentation and the links of the tables rely on. */
export const requiredVariables = ['datasource', 'cluster', 'namespace', 'workload', 'window', 'counted'];

/** The windows that the recording rules know. */
export const windows = ['1h', '1d', '7d', '30d'];

/** Empty states of Grafana's own that tell the reader nothing. */
const mute = /^(no data|n\/a|-|)$/i;

function isRow(panel: Panel | Row): panel is Row {
  return panel.type === 'row';
}

function ofPanel(path: string, panel: Panel): Problem[] {
  const problems: Problem[] = [];
  const claim = (holds: boolean, what: string, where = path): void => {
    if (!holds) {
      problems.push({ path: where, what });
    }
  };
  claim((panel.description ?? '').length >= 30, 'description: must say what the panel shows and what to do about it');
  if (panel.type === 'text') {
    return problems;
  }
  const { defaults } = panel.fieldConfig;
  claim((defaults.unit ?? '') !== '', 'unit: none set');
  claim((defaults.thresholds?.steps.length ?? 0) > 0, 'thresholds: none set: Grafana would colour everything above 80 red');
  claim(!mute.test(defaults.noValue ?? ''), 'noValue: must say what it means that nothing was found');
  claim(panel.datasource?.uid === datasource.uid, `datasource: must be ${datasource.uid}, is ${panel.datasource?.uid ?? 'absent'}`);

  const targets = panel.targets ?? [];
  claim(targets.length > 0, 'targets: none');
  claim(new Set(targets.map((target) => target.refId)).size === targets.length, 'targets: two share a refId');
  for (const [index, target] of targets.entries()) {
    const where = `${path}.targets[${index}]`;
    claim(target.datasource?.uid === datasource.uid, `datasource: must be ${datasource.uid}, is ${target.datasource?.uid ?? 'absent'}`, where);
    claim(/cluster=~"\$cluster"/.test(target.expr), 'expr: does not obey $cluster', where);
    claim(/namespace=~"\$namespace"/.test(target.expr) || /plainsight:caller:claim/.test(target.expr), 'expr: does not obey $namespace', where);
    // Grafana joins rows that agree on every label; a bare selector brings its series' name along and agrees with nobody.
    const joined = panel.type === 'table' && targets.length > 1;
    claim(!joined || /^(max|min|sum|count|group) by \(/.test(target.expr), 'expr: a table that joins queries needs each to begin with "max by (...)" or the like', where);
    const ranges = [...target.expr.matchAll(/\[([^\]]+)\]/g)].map((found) => found[1] ?? '');
    const allowed = target.range === true ? ['$__rate_interval'] : ['$__range', '$window'];
    for (const range of ranges.filter((one) => !allowed.includes(one))) {
      claim(false, `expr: range [${range}]: expected ${allowed.join(' or ')}`, where);
    }
  }
  return problems;
}

function ofGrid(dashboard: Dashboard): Problem[] {
  const problems: Problem[] = [];
  const taken = new Map<string, string>();
  for (const [index, { gridPos }] of dashboard.panels.entries()) {
    const path = `panels[${index}]`;
    if (gridPos === undefined) {
      problems.push({ path, what: 'gridPos: absent' });
      continue;
    }
    const { x, y, w, h } = gridPos;
    if (![x, y, w, h].every(Number.isInteger) || x < 0 || y < 0 || w < 1 || h < 1 || x + w > columns) {
      problems.push({ path, what: `gridPos: outside the grid of ${columns} columns: x ${x}, y ${y}, w ${w}, h ${h}` });
      continue;
    }
    const over = new Set<string>();
    for (let row = y; row < y + h; row += 1) {
      for (let column = x; column < x + w; column += 1) {
        const cell = `${column}/${row}`;
        const other = taken.get(cell);
        if (other !== undefined) {
          over.add(other);
        }
        taken.set(cell, path);
      }
    }
    problems.push(...[...over].map((other) => ({ path, what: `gridPos: overlaps ${other}` })));
  }
  return problems;
}

function ofVariables(dashboard: Dashboard): Problem[] {
  const problems: Problem[] = [];
  const { list } = dashboard.templating;
  for (const name of requiredVariables.filter((name) => !list.some((variable) => variable.name === name))) {
    problems.push({ path: 'templating.list', what: `variable: missing: ${name}` });
  }
  for (const [index, variable] of list.entries()) {
    const path = `templating.list[${index}]`;
    if ((variable.description ?? '') === '' || (variable.label ?? '') === '') {
      problems.push({ path, what: `variable: ${variable.name}: needs a label and a description` });
    }
    if (variable.type === 'query' && variable.datasource?.uid !== datasource.uid) {
      problems.push({ path, what: `datasource: must be ${datasource.uid}, is ${variable.datasource?.uid ?? 'absent'}` });
    }
    // A Prometheus without a `cluster` label has no value to choose: only a match for the absent label finds its series.
    if (variable.type === 'query' && (variable.includeAll !== true || variable.allValue !== '.*')) {
      problems.push({ path, what: `variable: ${variable.name}: All must be .* so that it matches an absent label` });
    }
  }
  const offered = list.find((variable) => variable.name === 'window')?.options?.map((option) => option.value) ?? [];
  if (JSON.stringify(offered) !== JSON.stringify(windows)) {
    problems.push({ path: 'templating.list', what: `variable: window: the rules know ${windows.join(', ')}; offered: ${offered.join(', ')}` });
  }
  return problems;
}

/** Every convention the dashboard breaks; empty when there is none. */
export function againstConventions(dashboard: Dashboard): Problem[] {
  const problems: Problem[] = [];
  if (dashboard.uid !== uid) {
    problems.push({ path: 'uid', what: `must stay ${uid}: links and bookmarks hold it; is ${dashboard.uid ?? 'absent'}` });
  }
  for (const field of ['__inputs', '__requires', '__elements']) {
    if (field in dashboard) {
      problems.push({ path: field, what: 'must not be there: provisioning does not fill it in' });
    }
  }
  if (dashboard.id !== undefined && dashboard.id !== null) {
    problems.push({ path: 'id', what: `must be absent, it belongs to one Grafana; is ${dashboard.id}` });
  }
  const numbers = new Map<number | undefined, number>();
  for (const [index, panel] of dashboard.panels.entries()) {
    const path = `panels[${index}]`;
    const other = numbers.get(panel.id);
    if (panel.id === undefined || other !== undefined) {
      problems.push({ path, what: panel.id === undefined ? 'id: absent' : `id: ${panel.id}: already that of panels[${other}]` });
    }
    numbers.set(panel.id, index);
    if ((panel.title ?? '') === '') {
      problems.push({ path, what: 'title: absent' });
    }
    problems.push(...(isRow(panel) ? [] : ofPanel(path, panel)));
  }
  return [...problems, ...ofGrid(dashboard), ...ofVariables(dashboard)];
}
