/** All checks of a dashboard's text, in the order in which the later ones can rely on the earlier. */
import { againstConventions } from './conventions.js';
import { againstPromql, queries, recordedIn } from './promql.js';
import { againstSchema } from './schema.js';
import type { Dashboard } from './shape.js';
import type { Problem } from './problem.js';

/** What was wrong, and how much was looked at. */
export interface Checked {
  problems: Problem[];
  counted: { panels: number; queries: number; variables: number };
}

/**
 * Checks a dashboard's text against Grafana's types, our conventions, PromQL and the series the rules record.
 *
 * # Errors
 * Throws when there is nothing to check with: no rules, or a schema that does not load.
 */
export function check(json: string, rules: string): Checked {
  const recorded = recordedIn(rules);
  if (recorded.size === 0) {
    throw new Error('rules: no recording rule found');
  }
  let dashboard: Dashboard;
  try {
    dashboard = JSON.parse(json) as Dashboard;
  } catch (error) {
    return { problems: [{ path: '(root)', what: `not JSON: ${String(error)}` }], counted: { panels: 0, queries: 0, variables: 0 } };
  }
  const problems = againstSchema(json);
  if (problems.length === 0) {
    // From here on the value has the shape its type promises.
    problems.push(...againstConventions(dashboard), ...againstPromql(dashboard, recorded));
  }
  return {
    problems,
    counted: {
      panels: dashboard.panels?.length ?? 0,
      queries: problems.length === 0 ? queries(dashboard).length : 0,
      variables: dashboard.templating?.list?.length ?? 0,
    },
  };
}
