/** Links into docs/runbook.md: one heading for each kind of caller. */

/** The chart replaces this URL by its value `runbookUrl`. */
export const runbook = 'https://example.com/plainsight/docs/runbook.md';

/** Later lines win: the protocol of a caller is more specific than its location. */
const headings: [label: string, value: string, anchor: string][] = [
  ['', '', 'inject-a-sidecar'],
  ['caller_kind', 'Node', 'from-a-node'],
  ['caller_kind', 'Address|Range', 'from-outside-the-mesh'],
  ['traffic', 'probe', 'move-the-probe'],
  ['traffic', 'scrape', 'a-certificate-for-the-scraper'],
  ['peer', 'tls_.+', 'the-applications-own-tls'],
  ['caller_kind', 'Overflow', 'plainsightoverflow'],
  ['caller_kind', 'Unknown', 'who-is-it-and-why-is-it-not-mutual-tls'],
];

/** All headings that the dashboard links to. */
export const anchors = headings.map(([, , anchor]) => anchor);

/** Adds a label `runbook` with the heading for each caller to the query. */
export function withRunbook(expr: string): string {
  return headings.reduce((inner, [label, value, anchor]) => `label_replace(${inner}, "runbook", "${anchor}", "${label}", "${value}")`, expr);
}
