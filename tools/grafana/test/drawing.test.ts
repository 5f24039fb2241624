/** The picture joins, names and formats like Grafana, and shows only query results. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { answers, legend, merge, type Cell } from '../src/answers.js';
import { dashboardFile } from '../src/files.js';
import { picture } from '../src/picture.js';
import { Prometheus } from '../src/prometheus.js';
import { initialValues, interpolate, panels, selectorsOf, targets } from '../src/promql.js';
import { inUnit, show } from '../src/shown.js';
import { cut, escaped } from '../src/svg.js';
import type { Dashboard, FieldConfig } from '@grafana/grafana-foundation-sdk/dashboard';

const dashboard = JSON.parse(readFileSync(dashboardFile, 'utf8')) as Dashboard;
const row = (cells: Record<string, Cell>): Map<string, Cell> => new Map(Object.entries(cells));

test('rows of two queries that agree on their common labels become one', () => {
  const joined = merge([
    [row({ caller: 'cron', traffic: 'app', 'Value #A': 1 }), row({ caller: 'vm', traffic: 'app', 'Value #A': 2 })],
    [],
    [row({ caller: 'vm', 'Value #C': 7 })],
  ]);
  assert.deepEqual(joined.map((one) => Object.fromEntries(one)), [
    { caller: 'cron', traffic: 'app', 'Value #A': 1 },
    { caller: 'vm', traffic: 'app', 'Value #A': 2, 'Value #C': 7 },
  ]);
});

test('rows whose series names differ stay apart, as they do in Grafana', () => {
  const joined = merge([[row({ __name__: 'a', port: '1', 'Value #A': 1 })], [row({ __name__: 'b', port: '1', 'Value #B': 1 })]]);
  assert.equal(joined.length, 2);
});

test('an absent label and an empty one are the same', () => {
  const joined = merge([[row({ caller: 'vm', source_ip: '', 'Value #A': 1 }), row({ caller: 'x', source_ip: '10.0.0.1', 'Value #A': 1 })], [row({ caller: 'vm', 'Value #B': 2 }), row({ caller: 'x', source_ip: '10.0.0.1', 'Value #B': 3 })]]);
  assert.equal(joined.length, 2);
  assert.equal(joined[0]?.get('Value #B'), 2);
});

test('units are formatted as in Grafana', () => {
  const now = 1_000_000;
  assert.equal(inUnit(0.8, 'percentunit', now), '80%');
  assert.equal(inUnit(90, 's', now), '1.5 min');
  assert.equal(inUnit((now - 7200) * 1000, 'dateTimeFromNow', now), '2.0 hours ago');
  assert.equal(inUnit(12500, 'short', now), '12.5 K');
  assert.throws(() => inUnit(1, 'parsecs', now), /unit: not drawn here: parsecs/);
});

test('every unit of the dashboard can be drawn', () => {
  for (const panel of panels(dashboard)) {
    inUnit(1, panel.fieldConfig?.defaults.unit ?? 'none', 1);
  }
});

test('a value takes the colour of the highest threshold it reaches, and a mapped value its own', () => {
  const thresholds = { mode: 'absolute', steps: [{ color: 'green', value: null }, { color: 'red', value: 1 }] };
  const field = { unit: 'short', thresholds } as FieldConfig;
  assert.equal(show(0, field, 0).color, 'green');
  assert.equal(show(1, field, 0).color, 'red');
  const mappings = [{ type: 'value', options: { 1: { text: 'ready', color: 'blue' } } }];
  assert.deepEqual(show(1, { ...field, mappings } as FieldConfig, 0), { text: 'ready', color: 'blue' });
});

test('a legend without its label leaves no gap', () => {
  assert.equal(legend('{{cluster}} {{namespace}}', { namespace: 'shop' }), 'shop');
});

test('a long text is cut with an ellipsis and a short one is unchanged', () => {
  assert.equal(cut('abcdefghij', 60, { size: 12 }), 'abcdefg…');
  assert.equal(cut('abc', 60, { size: 12 }), 'abc');
});

test('text from outside cannot become markup', () => {
  assert.equal(escaped('<a href="x">&'), '&lt;a href=&quot;x&quot;&gt;&amp;');
});

test('variables are replaced by value and by text, and unknown ones are kept', () => {
  assert.equal(interpolate('$a ${a} ${a:text} $b [$__range]', { a: '3600', 'a:text': '1h' }), '3600 3600 1h $b [86400s]');
});

test('the series of a query are found, and functions and labels are not mistaken for series', () => {
  assert.deepEqual(selectorsOf('sum by (a) (rate(x:y{b="c"}[5m])) / on (d) z'), [
    { name: 'x:y', matchers: '{b="c"}' },
    { name: 'z', matchers: '' },
  ]);
});

/** A Prometheus with given answers; records the queries. */
async function serving(answer: (query: string, path: string) => unknown[]): Promise<{ server: Server; prometheus: Prometheus; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const query = new URLSearchParams(body).get('query') ?? '';
      asked.push(query);
      response.end(JSON.stringify({ status: 'success', data: { result: answer(query, request.url ?? '') } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, prometheus: new Prometheus(`http://127.0.0.1:${port}`), asked };
}

const moment = { end: 1_800_000_000, start: 1_800_000_000 - 1800, step: 60, values: initialValues(dashboard) };

test('a Prometheus without an answer gives every panel its empty state and no value', async () => {
  const { server, prometheus, asked } = await serving(() => []);
  try {
    const all = await answers(dashboard, prometheus, moment);
    assert.equal(asked.length, panels(dashboard).flatMap(targets).length);
    assert.ok(asked.every((query) => !query.includes('$')), 'a variable was not put in');
    const svg = picture(dashboard, all, moment, 'nothing');
    assert.match(svg, /load plainsight\.rules\.yml</);
    assert.doesNotMatch(svg, />ready</);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('problems of the setup are shown in words, with nothing proven and no zero for the coverage', async () => {
  const { server, prometheus } = await serving((query) =>
    query.includes('setup:problem') ? [{ metric: { problem: 'kube_state_metrics_missing' }, value: [0, '37'] }] : [],
  );
  try {
    const svg = picture(dashboard, await answers(dashboard, prometheus, moment), moment, 'no names');
    assert.match(svg, />kube-state-metrics: without it callers have no names, and nothing is proven</);
    assert.match(svg, />unknown:/);
    assert.doesNotMatch(svg, />0%</);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('a result is shown in its panel in the column of its query', async () => {
  const labels = { caller: 'billing/<cron>', destination_workload_namespace: 'shop', destination_port: '8080', peer: 'plaintext' };
  const { server, prometheus } = await serving((query, path) =>
    path.endsWith('/query') && query.includes('"inject-a-sidecar"')
      ? [{ metric: { ...labels, runbook: 'inject-a-sidecar' }, value: [0, `${(moment.end - 120) * 1000}`] }]
      : query.startsWith('min by') && query.includes('first_seen')
        ? [{ metric: labels, value: [0, `${(moment.end - 7200) * 1000}`] }]
        : [],
  );
  try {
    const all = await answers(dashboard, prometheus, moment);
    const table = all.find(({ panel }) => panel.title === 'Callers that STRICT would break');
    assert.deepEqual(table?.columns, ['Caller', 'Speaks', 'Called namespace', 'Port', 'Last seen', 'First seen', 'What to do']);
    assert.equal(table?.cells[0]?.[6], 'inject-a-sidecar');
    const svg = picture(dashboard, all, moment, 'one caller');
    assert.match(svg, />billing\/&lt;cron&gt;</);
    assert.match(svg, />2\.0 min ago</);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('an error of Prometheus is an error here, with the query', async () => {
  const server = createServer((_, response) => response.end(JSON.stringify({ status: 'error', error: 'parse error' })));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await assert.rejects(new Prometheus(`http://127.0.0.1:${port}`).at('up', 0), /prometheus: up: parse error/);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
