/** Broken dashboards must be rejected, each for its own fault. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard } from '../src/dashboard.js';
import { rulesFile, runbookFile } from '../src/files.js';
import { problems } from '../src/lint.js';
import { panels, targets } from '../src/promql.js';

const rules = readFileSync(rulesFile, 'utf8');
const runbook = readFileSync(runbookFile, 'utf8');

function panel(one: Dashboard, title: string): Panel {
  const found = panels(one).find((candidate) => candidate.title === title);
  assert.ok(found, `no panel called ${title}`);
  return found;
}

/** Replaces a part of a panel's first query. */
function rewrite(one: Dashboard, title: string, from: string | RegExp, to: string): void {
  const target = targets(panel(one, title))[0];
  assert.ok(target, `${title}: no query`);
  const changed = target.expr.replace(from, to);
  assert.notEqual(changed, target.expr, `${title}: nothing to break`);
  target.expr = changed;
}

test('the committed dashboard has no problems', () => {
  assert.deepEqual(problems(dashboard(), rules, runbook), []);
  assert.ok(panels(dashboard()).flatMap(targets).length > 30);
});

const faults: [claim: string, change: (one: Dashboard) => void, what: RegExp][] = [
  ['a panel without a description', (one) => (panel(one, 'Coverage').description = ''), /Coverage: description/],
  ['an empty state of one word', (one) => (panel(one, 'Ports').fieldConfig!.defaults.noValue = 'N/A'), /Ports: noValue/],
  ['a panel outside the grid', (one) => (panel(one, 'Ports').gridPos!.x = 20), /Ports: gridPos: ends at column 44/],
  ['a query that is not PromQL', (one) => rewrite(one, 'Namespaces ready', ')', '))'), /Namespaces ready: A: not PromQL/],
  ['an undefined variable', (one) => rewrite(one, 'Namespaces ready', '$cluster', '$clusters'), /variable: not defined in this dashboard: \$clusters/],
  ['a series that no rule records', (one) => rewrite(one, 'Namespaces ready', 'namespace:ready', 'namespace:redy'), /no rule records it: plainsight:namespace:redy/],
  ['a query that ignores the cluster', (one) => rewrite(one, 'Namespaces ready', 'cluster=~"$cluster", ', ''), /does not obey \$cluster/],
  ['a query that ignores the namespace', (one) => rewrite(one, 'Namespaces ready', /, destination_workload_namespace=~"[^"]*"/, ''), /does not obey \$namespace/],
  ['a raw series that may be scraped twice', (one) => rewrite(one, 'Configuration errors', ', tag=""', ''), /plainsight_config_errors: without tag=""/],
  ['a bare selector in a table that joins queries', (one) => rewrite(one, 'Namespaces', /^max by \([^)]*\) /, ''), /Namespaces: A: a table that joins queries/],
];

for (const [claim, change, what] of faults) {
  test(`${claim} is refused`, () => {
    const one = JSON.parse(JSON.stringify(dashboard())) as Dashboard;
    change(one);
    const found = problems(one, rules, runbook);
    assert.ok(found.some((problem) => what.test(problem)), `expected ${what}; found ${JSON.stringify(found, null, 2)}`);
  });
}

test('a runbook without a linked heading is rejected', () => {
  assert.match(problems(dashboard(), rules, runbook.replace('# Move the probe', '# Move probes')).join('\n'), /no such heading: move-the-probe/);
});

test('a problem of the setup without a text is rejected', () => {
  assert.match(problems(dashboard(), rules.replace('problem: honor_labels_missing', 'problem: honor_labels_absent'), runbook).join('\n'), /no words for it/);
});

test('rules without a recording are an error, since every query would fail or none', () => {
  assert.throws(() => problems(dashboard(), 'groups: []\n', runbook), /no recording rule/);
});
