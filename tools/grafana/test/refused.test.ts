/** Broken dashboards must be refused, each for its own fault: a lint that lets one pass is no lint. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { check } from '../src/check.js';
import { dashboardFile, rulesFile } from '../src/files.js';

const rules = readFileSync(rulesFile, 'utf8');
const whole = readFileSync(dashboardFile, 'utf8');

/** A dashboard that may be broken has no type. */
type Loose = any;

/** The dashboard with one thing broken. */
function broken(change: (dashboard: Loose) => void): string {
  const dashboard = JSON.parse(whole) as Loose;
  change(dashboard);
  return JSON.stringify(dashboard, null, 2);
}

const panel = (dashboard: Loose, title: string): Loose => {
  const found = dashboard.panels.find((one: Loose) => one.title === title);
  assert.ok(found, `no panel called ${title}`);
  return found;
};
const stat = (dashboard: Loose): Loose => panel(dashboard, 'Namespaces ready');
const table = (dashboard: Loose): Loose => panel(dashboard, 'Callers that STRICT would break');
const graph = (dashboard: Loose): Loose => panel(dashboard, 'New callers');
const variable = (dashboard: Loose, name: string): Loose => dashboard.templating.list.find((one: Loose) => one.name === name);

/** What is broken, how, and where and with which words the lint must say so. */
const faults: [claim: string, change: (dashboard: Loose) => void, path: RegExp, what: RegExp][] = [
  ['a title that is a number', (d) => (stat(d).title = 7), /^panels\[1\].title$/, /number.*string/],
  ['a grid position that is text', (d) => (stat(d).gridPos.w = '4'), /gridPos\.w$/, /string.*number/],
  ['a misspelt field of a panel', (d) => (stat(d).descripton = 'x'), /^panels\[1\]/, /descripton/],
  ['a misspelt field of the dashboard', (d) => (d.tittle = 'x'), /^tittle$/, /tittle/],
  ['a dashboard without a schema version', (d) => delete d.schemaVersion, /^\(root\)$|^dashboard$/, /schemaVersion/],
  ['a misspelt field of a query', (d) => (stat(d).targets[0].legendFormt = 'x'), /targets\[0\]/, /legendFormt/],
  ['a query without an expression', (d) => delete stat(d).targets[0].expr, /targets\[0\]/, /expr/],
  ['an option that is not in the enum', (d) => (stat(d).options.colorMode = 'backgrond'), /options\.colorMode$/, /backgrond/],
  ['an option of another panel type', (d) => (stat(d).options.frameIndex = 0), /^panels\[1\]\.options/, /frameIndex/],
  ['a missing option', (d) => delete stat(d).options.reduceOptions, /^panels\[1\]/, /reduceOptions/],
  ['a panel type nobody knows', (d) => (stat(d).type = 'sats'), /^panels\[1\]/, /sats/],
  ['a threshold without a colour', (d) => delete stat(d).fieldConfig.defaults.thresholds.steps[0].color, /thresholds/, /color/],
  ['an override of a setting that does not exist', (d) => (table(d).fieldConfig.overrides[0].properties[0].id = 'custom.witdh'), /overrides\[0\]/, /witdh/],
  ['an override with a value of the wrong type', (d) => table(d).fieldConfig.overrides[0].properties.push({ id: 'unit', value: 3 }), /overrides\[0\]/, /number/],
  ['a transformation that does not exist', (d) => (table(d).transformations[0].id = 'merg'), /transformations\[0\]/, /merg/],
  ['a drawing style that does not exist', (d) => (graph(d).fieldConfig.defaults.custom.drawStyle = 'lines'), /drawStyle$/, /lines/],
  ['a variable of an unknown type', (d) => (variable(d, 'window').type = 'customs'), /templating\.list\[5\]\.type$/, /customs/],
  ['a row with a field of its own', (d) => (d.panels[0].colapsed = true), /^panels\[0\]/, /colapsed/],
  ['inputs to fill in', (d) => (d.__inputs = []), /^__inputs$/, /__inputs/],

  ['two panels in one place', (d) => (stat(d).gridPos.x = 4), /^panels\[2\]$/, /overlaps panels\[1\]/],
  ['a panel outside the grid', (d) => (stat(d).gridPos.x = 23), /^panels\[1\]$/, /outside the grid/],
  ['two panels with one number', (d) => (stat(d).id = 102), /^panels\[2\]$/, /already that of panels\[1\]/],
  ['another uid', (d) => (d.uid = 'plainsight2'), /^uid$/, /must stay plainsight/],
  ['the number of one Grafana', (d) => (d.id = 12), /^id$/, /must be absent/],
  ['a panel without a description', (d) => delete stat(d).description, /^panels\[1\]$/, /description/],
  ['a panel without a unit', (d) => delete stat(d).fieldConfig.defaults.unit, /^panels\[1\]$/, /unit/],
  ['a panel without thresholds', (d) => delete stat(d).fieldConfig.defaults.thresholds, /^panels\[1\]$/, /thresholds/],
  ['an empty state that says No data', (d) => (table(d).fieldConfig.defaults.noValue = 'No data'), /^panels/, /noValue/],
  ['no empty state', (d) => delete table(d).fieldConfig.defaults.noValue, /^panels/, /noValue/],
  ['a fixed data source on a panel', (d) => (stat(d).datasource.uid = 'prometheus'), /^panels\[1\]$/, /datasource/],
  ['a fixed data source on a query', (d) => (stat(d).targets[0].datasource.uid = 'P1809F7CD'), /targets\[0\]$/, /datasource/],
  ['a fixed data source on a variable', (d) => (variable(d, 'namespace').datasource.uid = 'prometheus'), /^templating/, /datasource/],
  ['a cluster variable that misses an absent label', (d) => (variable(d, 'cluster').allValue = '.+'), /^templating/, /absent label/],
  ['no workload variable', (d) => d.templating.list.splice(3, 1), /^templating/, /missing: workload/],
  ['a window the rules do not know', (d) => (variable(d, 'window').options[0].value = '2h'), /^templating/, /offered: 2h/],
  ['a query that ignores the cluster', (d) => (stat(d).targets[0].expr = stat(d).targets[0].expr.replace('cluster=~"$cluster", ', '')), /targets\[0\]$/, /\$cluster/],
  ['a query that ignores the namespace', (d) => (stat(d).targets[0].expr = stat(d).targets[0].expr.replace(/[a-z_]+=~"\$namespace", /, '')), /targets\[0\]$/, /\$namespace/],
  [
    'a fixed range where $__rate_interval belongs',
    (d) => {
      const busiest = panel(d, 'Busiest callers that STRICT would break: requests').targets[0];
      busiest.expr = busiest.expr.replace('$__rate_interval', '5m');
    },
    /targets\[0\]$/,
    /range \[5m\]/,
  ],

  [
    'a bare selector in a table that joins queries',
    (d) => (panel(d, 'Workloads').targets[3].expr = 'plainsight:workload:without_mtls:ratio1h{cluster=~"$cluster", destination_workload_namespace=~"$namespace"}'),
    /targets\[3\]$/,
    /a table that joins queries/,
  ],

  ['a query that is not PromQL', (d) => (stat(d).targets[0].expr += ')'), /targets\[0\]\.expr$/, /not PromQL/],
  ['a query with an unfinished matcher', (d) => (stat(d).targets[0].expr = stat(d).targets[0].expr.replace('$window"', '$window')), /targets\[0\]\.expr$/, /not PromQL/],
  ['a query with a variable nobody defines', (d) => (stat(d).targets[0].expr = stat(d).targets[0].expr.replace('$window', '$windw')), /targets\[0\]\.expr$/, /variable.*\$windw/],
  ['a series that no rule records', (d) => (stat(d).targets[0].expr = stat(d).targets[0].expr.replace('plainsight:namespace:ready', 'plainsight:namespace:redy')), /targets\[0\]\.expr$/, /no rule records it: plainsight:namespace:redy/],
];

// One run of the compiler looks at all of them.
const [asItIs, cut, ...checked] = check([whole, whole.slice(0, -10), ...faults.map(([, change]) => broken(change))], rules);

test('the dashboard as it is has no problem', () => {
  assert.deepEqual(asItIs?.problems, []);
  assert.ok((asItIs?.counted.queries ?? 0) > 30, `only ${asItIs?.counted.queries} queries were looked at`);
});

for (const [index, [claim, , path, what]] of faults.entries()) {
  test(`${claim} is refused`, () => {
    const problems = checked[index]?.problems ?? [];
    const found = problems.some((problem) => path.test(problem.path) && what.test(problem.what));
    assert.ok(found, `expected ${path} with ${what}; found ${JSON.stringify(problems, null, 2)}`);
  });
}

test('a text that is not JSON is refused', () => {
  assert.match(cut?.problems[0]?.what ?? '', /not JSON/);
});

test('rules without a recording are an error, since every query would pass or none', () => {
  assert.throws(() => check([whole], 'groups: []\n'), /no recording rule/);
});
