/**
 * Checks beyond Grafana's types: queries use existing series and follow the variables, and every panel explains an empty
 * result.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { dashboard } from './dashboard.js';
import { setupProblems } from './dashboard/columns.js';
import { anchors } from './dashboard/runbook.js';
import { dashboardFile, rulesFile, runbookFile } from './files.js';
import { initialValues, interpolate, panels, selectorsOf, syntaxError, targets } from './promql.js';

/** The filter's own series that panels may read; all other series come from the rules. */
const raw = new Set(['plainsight_build_info', 'plainsight_config_errors', 'plainsight_overflow_total', 'plainsight_attribute_errors_total']);

/** Series of the setup: they have no called namespace. */
const ofSetup = /^plainsight:(setup|rules):/;

/** The dashboard in its committed form: one line per panel, so that a diff shows which one changed. */
export function written(one: Dashboard): string {
  const fields = Object.entries(one).map(([name, value]) => {
    const text = name === 'panels' ? `[\n${(value as unknown[]).map((panel) => JSON.stringify(panel)).join(',\n')}\n]` : JSON.stringify(value);
    return `${JSON.stringify(name)}: ${text}`;
  });
  return `{\n${fields.join(',\n')}\n}\n`;
}

/** The names that a rules file records. */
export function recordedIn(rules: string): Set<string> {
  const names = new Set([...rules.matchAll(/^\s*-?\s*record:\s*(\S+)\s*$/gm)].map((found) => found[1] ?? ''));
  if (names.size === 0) {
    throw new Error('rules: no recording rule found');
  }
  return names;
}

/** The anchor of a heading, as on GitHub. */
function anchorsIn(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map((found) => found[1] ?? '');
  return new Set(headings.map((heading) => heading.toLowerCase().replace(/[^\w\- ]/g, '').replace(/ /g, '-')));
}

function ofQuery(expr: string, values: Record<string, string>, recorded: ReadonlySet<string>): string[] {
  const sent = interpolate(expr, values);
  const unknown = /\$\{?\w+/.exec(sent);
  if (unknown !== null) {
    return [`variable: not defined in this dashboard: ${unknown[0]}`];
  }
  const broken = syntaxError(sent);
  if (broken !== undefined) {
    return [broken];
  }
  return selectorsOf(interpolate(expr, { ...values, cluster: '$cluster', namespace: '$namespace' })).flatMap(({ name, matchers }) => {
    const problems: string[] = [];
    if (!recorded.has(name) && !raw.has(name)) {
      problems.push(`series: no rule records it: ${name}`);
    }
    if (raw.has(name) && !matchers.includes('tag=""')) {
      problems.push(`series: ${name}: without tag="" a second scrape counts twice`);
    }
    // Inputs of readiness are narrowed by the series that they are joined with.
    if (matchers !== '' && !matchers.includes('cluster=~"$cluster"')) {
      problems.push(`series: ${name}: does not obey $cluster`);
    }
    if (matchers !== '' && !ofSetup.test(name) && !matchers.includes('namespace=~"$namespace"')) {
      problems.push(`series: ${name}: does not obey $namespace`);
    }
    return problems;
  });
}

/** All problems, each with its place. */
export function problems(one: Dashboard, rules: string, runbook: string): string[] {
  const recorded = recordedIn(rules);
  const values = initialValues(one);
  const found: string[] = [];
  for (const panel of panels(one)) {
    const tell = (what: string) => found.push(`${panel.title ?? '(no title)'}: ${what}`);
    if ((panel.description ?? '').length < 40) {
      tell('description: must say what the panel shows and what to do about it');
    }
    if (!/\w+ \w+/.test(`${panel.fieldConfig?.defaults.noValue ?? ''}`)) {
      tell('noValue: must say what it means that nothing was found');
    }
    const { x = 0, w = 0 } = panel.gridPos ?? {};
    if (x + w > 24) {
      tell(`gridPos: ends at column ${x + w} of 24`);
    }
    for (const { refId, expr } of targets(panel)) {
      ofQuery(expr, values, recorded).forEach((problem) => tell(`${refId ?? ''}: ${problem}`));
      // Grafana joins rows with equal labels; a bare selector keeps the series' name, which differs.
      if (panel.type === 'table' && targets(panel).length > 1 && !/^(label_replace\(+)*(topk\(\d+, )?(max|min|sum|count|group) by \(/.test(expr)) {
        tell(`${refId ?? ''}: a table that joins queries needs each to begin with "max by (...)" or the like`);
      }
    }
  }
  const headings = anchorsIn(runbook);
  found.push(...anchors.filter((anchor) => !headings.has(anchor)).map((anchor) => `runbook: no such heading: ${anchor}`));
  const recordedProblems = [...rules.matchAll(/\bproblem: (\w+)/g)].map((match) => match[1] ?? '');
  found.push(...recordedProblems.filter((name) => !(name in setupProblems)).map((name) => `problem: the rules record ${name}, and the dashboard has no words for it`));
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const one = dashboard();
  const found = problems(one, readFileSync(rulesFile, 'utf8'), readFileSync(runbookFile, 'utf8'));
  if (readFileSync(dashboardFile, 'utf8') !== written(one)) {
    found.push(`${dashboardFile}: is not what tools/grafana/src/dashboard makes: run \`make gen\``);
  }
  found.forEach((problem) => console.error(`lint-grafana: ${problem}`));
  process.exitCode = found.length > 0 ? 1 : 0;
}
