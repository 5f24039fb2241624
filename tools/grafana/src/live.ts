/**
 * Draws the dashboard from live answers: the demo runs, its callers keep calling, and a Prometheus with the shipped
 * rules, at the shipped pace of one evaluation a minute, watches for as many minutes as asked.
 *
 *     node build/src/live.js DEMO MINUTES -- ARGUMENTS OF draw.js
 *
 * DEMO is the demo's program; it needs PLAINSIGHT_ENVOY and PLAINSIGHT_WASM as `make demo` sets them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { rulesFile } from './files.js';
import { calls, type Places } from './live_callers.js';

const [demo, minutes, , ...drawing] = process.argv.slice(2);
if (demo === undefined || !(Number(minutes) > 0) || drawing.length === 0) {
  throw new Error('live: expected the demo’s program, minutes, -- and the arguments of draw.js');
}

const started: ChildProcess[] = [];
const folder = mkdtempSync(`${tmpdir()}/plainsight-live-`);

/** Starts the demo and waits for the addresses it prints. */
async function startDemo(program: string): Promise<Places & { admin: string; prometheus: string }> {
  const child = spawn(program, { env: { ...process.env, KEEP: '1' }, stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  const printed = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('Running until')) {
        resolve(text);
      }
    });
    child.once('exit', (code) => reject(new Error(`live: the demo ended with ${code ?? 'a signal'}:\n${text}`)));
  });
  const found = (pattern: RegExp): string => {
    const address = pattern.exec(printed)?.[1];
    if (address === undefined) {
      throw new Error(`live: the demo printed no address for ${pattern.source}:\n${printed}`);
    }
    return address;
  };
  return {
    http: found(/8080 \(http\) on ([\d.:]+)/),
    tcp: found(/9000 \(tcp\) on ([\d.:]+)/),
    auto: found(/7000 \(no protocol\) on ([\d.:]+)/),
    undeclared: found(/\(undeclared\) on ([\d.:]+)/),
    sidecar: found(/client's sidecar on ([\d.:]+)/),
    admin: found(/Admin: server http:\/\/([\d.:]+)/),
    prometheus: found(/Prometheus: http:\/\/([\d.:]+)/),
  };
}

/** What the demo's own Prometheus scrapes for the pods' names. */
async function kubeStateMetrics(prometheus: string): Promise<string> {
  const answer = (await (await fetch(`http://${prometheus}/api/v1/targets`)).json()) as {
    data: { activeTargets: { labels: { job: string; instance: string } }[] };
  };
  const target = answer.data.activeTargets.find(({ labels }) => labels.job === 'kube-state-metrics');
  if (target === undefined) {
    throw new Error(`live: ${prometheus}: scrapes no kube-state-metrics`);
  }
  return target.labels.instance;
}

/** A free port. Another program may take it before Prometheus does; then Prometheus ends and says so. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Prometheus as an operator would run it: the rules file as shipped, a scrape every 15 seconds. */
async function startPrometheus(admin: string, names: string): Promise<string> {
  const configuration = {
    global: { scrape_interval: '15s', evaluation_interval: '1m' },
    rule_files: [rulesFile],
    scrape_configs: [
      {
        job_name: 'plainsight',
        metrics_path: '/stats/prometheus',
        static_configs: [{ targets: [admin], labels: { namespace: 'shop', pod: 'orders-1' } }],
      },
      { job_name: 'kube-state-metrics', honor_labels: true, static_configs: [{ targets: [names] }] },
    ],
  };
  writeFileSync(`${folder}/prometheus.yml`, JSON.stringify(configuration));
  const address = `127.0.0.1:${await freePort()}`;
  const log = openSync(`${folder}/prometheus.log`, 'w');
  const child = spawn(
    'prometheus',
    [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/series`, `--web.listen-address=${address}`],
    { stdio: ['ignore', log, log] },
  );
  started.push(child);
  child.once('exit', (code) => console.error(`live: prometheus ended with ${code ?? 'a signal'}`));
  return `http://${address}`;
}

try {
  const places = await startDemo(demo);
  const prometheus = await startPrometheus(places.admin, await kubeStateMetrics(places.prometheus));
  console.log(`live: watching for ${minutes} minutes: ${prometheus}`);
  const stop = calls(places, Number(minutes));
  await new Promise((resolve) => setTimeout(resolve, Number(minutes) * 60_000));
  stop();
  const draw = fileURLToPath(new URL('draw.js', import.meta.url));
  const child = spawn(process.execPath, [draw, '--prometheus', prometheus, '--minutes', `${minutes}`, ...drawing], { stdio: 'inherit' });
  process.exitCode = await new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
} finally {
  for (const child of started) {
    child.removeAllListeners('exit');
    const ended = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}
