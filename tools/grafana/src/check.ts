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
 * Checks texts of dashboards against Grafana's types, our conventions, PromQL and the series the rules record.
 *
 * # Errors
 * Throws when there is nothing to check with: no rules, or a schema that does not load.
 */
export function check(texts: readonly string[], rules: string): Checked[] {
  const recorded = recordedIn(rules);
  if (recorded.size === 0) {
    throw new Error('rules: no recording rule found');
  }
  const parsed = texts.map(parse);
  // A text that is no JSON is none of the compiler's business.
  const typed = againstSchema(parsed.map((one, index) => (typeof one === 'string' ? '{}' : (texts[index] ?? ''))));
  return parsed.map((one, index) => {
    if (typeof one === 'string') {
      return { problems: [{ path: '(root)', what: one }], counted: { panels: 0, queries: 0, variables: 0 } };
    }
    const problems = typed[index] ?? [];
    if (problems.length === 0) {
      // From here on the value has the shape its type promises.
      problems.push(...againstConventions(one), ...againstPromql(one, recorded));
    }
    return {
      problems,
      counted: {
        panels: one.panels?.length ?? 0,
        queries: problems.length === 0 ? queries(one).length : 0,
        variables: one.templating?.list?.length ?? 0,
      },
    };
  });
}

/** The dashboard, or what is wrong with the text. */
function parse(text: string): Dashboard | string {
  try {
    return JSON.parse(text) as Dashboard;
  } catch (error) {
    return `not JSON: ${String(error)}`;
  }
}
