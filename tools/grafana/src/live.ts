/**
 * Runs every query of the dashboard on a real Prometheus and draws the results.
 *
 *     node build/src/live.js FILE.svg
 *
 * The Prometheus has the shipped rules and scrape jobs; only service discovery is replaced by files, with the labels
 * that Kubernetes would set. It scrapes the mesh of mesh.ts on loopback and starts with earlier recordings. Fails if a
 * namespace does not reach its state, or if a query fails or returns nothing.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { answers, type Answered, type Asked } from './answers.js';
import { dashboard } from './dashboard.js';
import { prometheusFile, rulesFile } from './files.js';
import { expected, kubeStateMetrics, recorded, sidecar, sidecars } from './mesh.js';
import { picture } from './picture.js';
import { Prometheus } from './prometheus.js';
import { choices, initialValues } from './promql.js';

/** Evidence looks two minutes back, and groups read each other's last evaluation: after this number, all results come from scraped series. */
const evaluations = 3;
const patience = 15 * 60_000;

const [file] = process.argv.slice(2);
if (file === undefined) {
  throw new Error('live: expected FILE.svg');
}

const clock = () => Date.now() / 1000;
const start = clock();

/** The sidecars and kube-state-metrics, distinguished by path. */
async function serveMesh(): Promise<{ server: Server; address: string }> {
  const server = createHttpServer((request, response) => {
    const [, namespace = '', pod = ''] = (request.url ?? '').split(/[/?]/);
    response.end(namespace === 'kube-state-metrics' ? kubeStateMetrics(clock()) : sidecar(namespace, pod, clock(), start));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** The shipped configuration with files in place of Kubernetes' service discovery. */
function configure(folder: string, address: string): void {
  copyFileSync(rulesFile, `${folder}/plainsight.rules.yml`);
  writeFileSync(`${folder}/plainsight.alerts.yml`, 'groups: []\n');
  const shipped = readFileSync(prometheusFile, 'utf8');
  const configuration = shipped
    .replace(/kubernetes_sd_configs:\n(\s+)- role: pod\b/, 'file_sd_configs:\n$1- files: [sidecars.json]')
    .replace(/kubernetes_sd_configs:\n(\s+)- role: endpoints\b/, 'file_sd_configs:\n$1- files: [kube-state-metrics.json]');
  if (configuration.includes('kubernetes_sd_configs')) {
    throw new Error(`live: ${prometheusFile}: a scrape job is not known here`);
  }
  writeFileSync(`${folder}/prometheus.yml`, configuration);
  const pods = sidecars.map(({ namespace, pod, app }) => ({
    targets: [address],
    labels: {
      __metrics_path__: `/${namespace}/${pod}`,
      __meta_kubernetes_namespace: namespace,
      __meta_kubernetes_pod_name: pod,
      __meta_kubernetes_pod_phase: 'Running',
      __meta_kubernetes_pod_container_port_name: 'http-envoy-prom',
      __meta_kubernetes_pod_label_app: app,
    },
  }));
  writeFileSync(`${folder}/sidecars.json`, JSON.stringify(pods));
  const names = { __metrics_path__: '/kube-state-metrics', __meta_kubernetes_service_label_app_kubernetes_io_name: 'kube-state-metrics', __meta_kubernetes_endpoint_port_name: 'http' };
  writeFileSync(`${folder}/kube-state-metrics.json`, JSON.stringify([{ targets: [address], labels: names }]));
}

/** A free port. If another program takes it first, Prometheus exits with an error. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startPrometheus(folder: string): Promise<{ child: ChildProcess; url: string }> {
  mkdirSync(`${folder}/data`);
  writeFileSync(`${folder}/recorded.txt`, recorded(Math.floor(clock() / 60) * 60));
  execFileSync('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', '--quiet', `${folder}/recorded.txt`, `${folder}/data`]);
  const address = `127.0.0.1:${await freePort()}`;
  const log = openSync(`${folder}/prometheus.log`, 'w');
  const child = spawn(
    'prometheus',
    [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, '--storage.tsdb.retention.time=45d', `--web.listen-address=${address}`],
    { stdio: ['ignore', log, log] },
  );
  return { child, url: `http://${address}` };
}

/** All namespaces in an unexpected state. */
async function unexpected(prometheus: Prometheus): Promise<string[]> {
  const value = async (what: string) => {
    const samples = await prometheus.at(`plainsight:namespace:${what}{window="7d", counted="all"}`, clock());
    return new Map(samples.map(({ labels, value }) => [labels['destination_workload_namespace'] ?? '', value]));
  };
  const [ready, blocking] = [await value('ready'), await value('blocking_callers')];
  return Object.entries(expected).flatMap(([namespace, state]) => {
    const found = ready.get(namespace) === 1 ? 'ready' : (blocking.get(namespace) ?? 0) > 0 ? 'callers in the way' : 'not proven';
    return found === state ? [] : [`${namespace}: ${found}, expected ${state}`];
  });
}

/** The number of evaluations of the group that is furthest behind. */
async function evaluated(prometheus: Prometheus): Promise<number> {
  const samples = await prometheus.at('min(count_over_time(plainsight:rules:evaluated_timestamp_seconds[1h]))', clock());
  return samples[0]?.value ?? 0;
}

/** Runs the queries with each choice of the fixed-value variables, so that no choice makes an invalid query. */
async function askEveryChoice(prometheus: Prometheus, asked: Asked): Promise<number> {
  let questions = 0;
  for (const window of choices(dashboard(), 'window')) {
    for (const counted of choices(dashboard(), 'counted')) {
      const all = await answers(dashboard(), prometheus, { ...asked, values: { ...asked.values, ...window, ...counted } });
      questions += all.flatMap(({ queries }) => queries).length;
    }
  }
  return questions;
}

const empty = (all: Answered[]) => all.flatMap(({ panel, queries }) => queries.filter(({ rows }) => rows === 0).map(({ refId, sent }) => `${panel.title ?? ''} ${refId}: ${sent}`));

const folder = mkdtempSync(`${tmpdir()}/plainsight-live-`);
const { server, address } = await serveMesh();
configure(folder, address);
const { child, url } = await startPrometheus(folder);
try {
  const prometheus = new Prometheus(url);
  const deadline = Date.now() + patience;
  for (;;) {
    if (child.exitCode !== null) {
      throw new Error(`live: prometheus ended: ${readFileSync(`${folder}/prometheus.log`, 'utf8').slice(-2000)}`);
    }
    const end = Math.floor(clock());
    const asked: Asked = { end, start: end - 86400, step: 600, values: initialValues(dashboard()) };
    // Prometheus refuses connections until it has started.
    const problems = await evaluated(prometheus)
      .then(async (times) => (times < evaluations ? [`rules: evaluated ${times} of ${evaluations} times`] : [...(await unexpected(prometheus)), ...empty(await answers(dashboard(), prometheus, asked))]))
      .catch((error: unknown) => [String(error)]);
    if (problems.length === 0) {
      const all = await answers(dashboard(), prometheus, asked);
      writeFileSync(file, picture(dashboard(), all, asked, 'Ten namespaces, watched by a Prometheus with the shipped rules and scrape jobs. The mesh is synthetic: tools/grafana/src/mesh.ts.'));
      const rows = all.flatMap(({ queries }) => queries).reduce((sum, query) => sum + query.rows, 0);
      console.log(`live: ${rows} rows in all, none of the queries empty; ${await askEveryChoice(prometheus, asked)} questions over every window and way of counting`);
      break;
    }
    if (Date.now() > deadline) {
      throw new Error(`live: after ${patience / 60_000} minutes:\n${problems.join('\n')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5000));
  }
} finally {
  server.close();
  const ended = child.exitCode !== null ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}
