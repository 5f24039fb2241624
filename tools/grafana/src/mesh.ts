/** A mesh of ten namespaces in different states: the metrics of its sidecars and kube-state-metrics, and earlier recordings. */

const day = 86400;

/** The expected readiness for a window of 7 days, counting every caller. */
export type State = 'ready' | 'callers in the way' | 'not proven';

interface Workload {
  namespace: string;
  name: string;
  pods: number;
  /** Pods whose sidecar has the filter. */
  reporting: number;
  /** Days since which all pods report. */
  provenFor: number;
  ports: number[];
}

const workload = (namespace: string, name: string, pods: number, provenFor: number, ports = [8080], reporting = pods): Workload => ({ namespace, name, pods, reporting, provenFor, ports });

/** The called workloads. */
const workloads: Workload[] = [
  workload('billing', 'invoices', 3, 38),
  workload('billing', 'ledger', 2, 38),
  workload('catalog', 'products', 4, 36, [8080, 9090]),
  workload('identity', 'login', 2, 2),
  workload('mail', 'outbox', 2, 38, [2525]),
  workload('media', 'thumbnails', 2, 0, [8080], 1),
  workload('media', 'uploads', 2, 38),
  workload('orders', 'orders', 3, 21, [8443]),
  workload('payments', 'gateway', 2, 38),
  workload('reports', 'monthly', 1, 38),
  workload('search', 'index', 3, 38),
  workload('search', 'query', 6, 38),
  workload('shop', 'cart', 2, 38),
  workload('shop', 'checkout', 4, 38, [8080, 9000]),
];

/** The expected states. */
export const expected: Record<string, State> = {
  billing: 'callers in the way',
  catalog: 'ready',
  identity: 'not proven',
  mail: 'callers in the way',
  media: 'not proven',
  orders: 'callers in the way',
  payments: 'ready',
  reports: 'ready',
  search: 'ready',
  shop: 'callers in the way',
};

/** The callers without mutual TLS. */
interface Caller {
  name: string;
  kind: 'Deployment' | 'CronJob' | 'Node' | 'Range' | 'Address';
  ip: string;
  to: string;
  port: number;
  peer?: string;
  strict?: string;
  traffic?: string;
  /** Seconds ago: 0 calls now. */
  last: number;
  first: number;
}

const callers: Caller[] = [
  { name: 'legacy/exporter', kind: 'Deployment', ip: '10.2.0.1', to: 'billing/invoices', port: 8080, last: 0, first: 33 * day },
  { name: 'legacy-vms', kind: 'Range', ip: '10.20.4.17', to: 'billing/ledger', port: 8080, last: 0, first: 38 * day },
  { name: 'legacy-vms', kind: 'Range', ip: '10.20.4.23', to: 'billing/invoices', port: 8080, last: 0, first: 38 * day },
  { name: 'monitoring/prometheus', kind: 'Deployment', ip: '10.2.0.2', to: 'catalog/products', port: 9090, strict: 'exempt', traffic: 'scrape', last: 0, first: 36 * day },
  { name: 'legacy/smtp-relay', kind: 'Deployment', ip: '10.2.0.3', to: 'mail/outbox', port: 2525, last: 3 * day, first: 38 * day },
  { name: '203.0.113.40', kind: 'Address', ip: '203.0.113.40', to: 'orders/orders', port: 8443, peer: 'tls_passthrough', last: 0, first: 21 * day },
  { name: 'partners/sync', kind: 'Deployment', ip: '10.2.0.4', to: 'orders/orders', port: 8443, peer: 'tls_passthrough', last: 0, first: 1500 },
  { name: 'legacy/settlement', kind: 'CronJob', ip: '10.2.0.5', to: 'payments/gateway', port: 8080, last: 12 * day, first: 38 * day },
  { name: 'legacy/month-end', kind: 'CronJob', ip: '10.2.0.6', to: 'reports/monthly', port: 8080, last: 20 * day, first: 20 * day },
  { name: 'legacy/nightly-export', kind: 'CronJob', ip: '10.2.0.7', to: 'shop/checkout', port: 8080, last: 9 * 3600, first: 38 * day },
  { name: 'node-2', kind: 'Node', ip: '10.0.0.2', to: 'shop/cart', port: 8080, traffic: 'probe', last: 0, first: 30 * day },
  { name: 'admin/console', kind: 'Deployment', ip: '10.2.0.8', to: 'shop/checkout', port: 9000, last: 0, first: 9 * day },
];

/** Callers rejected after a switch to STRICT: TLS without a mesh certificate. */
const turnedAway = [{ ip: '10.20.4.31', name: 'legacy-vms', to: 'mail/outbox', port: 2525 }];

const slug = (name: string) => name.split('/').at(-1) ?? name;
const rand = (seed: number) => ((Math.sin(seed * 12.9898) * 43758.5453) % 1 + 1) % 1;

interface Pod {
  namespace: string;
  pod: string;
  ip: string;
  owner: string;
  kind: 'ReplicaSet' | 'Job';
  sidecar: boolean;
  workload?: Workload;
  reports: boolean;
}

const pods: Pod[] = [
  ...workloads.flatMap((one, at) =>
    Array.from({ length: one.pods }, (_, index) => ({
      namespace: one.namespace,
      pod: `${one.name}-6c9f-${index}`,
      ip: `10.1.${at}.${index + 1}`,
      owner: `${one.name}-6c9f`,
      kind: 'ReplicaSet' as const,
      sidecar: true,
      workload: one,
      reports: index < one.reporting,
    })),
  ),
  ...callers
    .filter(({ kind, last }) => (kind === 'Deployment' || kind === 'CronJob') && last === 0)
    .map(({ name, kind, ip }) => ({
      namespace: name.split('/')[0] ?? '',
      pod: `${slug(name)}-7d4b-0`,
      ip,
      owner: `${slug(name)}-7d4b`,
      kind: kind === 'CronJob' ? ('Job' as const) : ('ReplicaSet' as const),
      sidecar: false,
      reports: false,
    })),
];

const series = (name: string, labels: Record<string, string | number>): string =>
  `${name}{${Object.entries(labels)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`;

/** A series as a sidecar exposes it: with all labels packed into one. */
const tagged = (name: string, labels: Record<string, string | number>): string =>
  series(name, {
    tag: Object.entries(labels)
      .filter(([, value]) => value !== '')
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  });

const called = (to: string, port: number) => {
  const [namespace = '', name = ''] = to.split('/');
  return { destination_workload: name, destination_workload_namespace: namespace, destination_port: port };
};

/** The pods that are scraped, as service discovery finds them. */
export const sidecars = pods.filter(({ reports }) => reports).map(({ namespace, pod, workload }) => ({ namespace, pod, app: workload?.name ?? '' }));

/** The metrics of one sidecar at a time. Counters grow since `start`. */
export function sidecar(namespace: string, pod: string, now: number, start: number): string {
  const one = pods.find((candidate) => candidate.namespace === namespace && candidate.pod === pod);
  if (one?.workload === undefined) {
    throw new Error(`mesh: no such pod: ${namespace}/${pod}`);
  }
  const { workload } = one;
  const to = `${workload.namespace}/${workload.name}`;
  const elapsed = Math.floor(now - start);
  const lines = [`${tagged('plainsight_build_info', { version: '0.2.0' })} 1`, 'plainsight_config_errors 0', 'plainsight_overflow_total 0'];
  for (const port of workload.ports) {
    const mutual = { peer: 'mutual_tls', strict: 'allow', ...called(to, port) };
    lines.push(`${tagged('plainsight_connections_total', mutual)} ${100 + elapsed}`, `${tagged('plainsight_requests_total', mutual)} ${1000 + elapsed * 20}`);
  }
  callers
    .filter((caller) => caller.to === to && caller.last === 0)
    .forEach((caller, index) => {
      const labels = {
        peer: caller.peer ?? 'plaintext',
        strict: caller.strict ?? 'reject',
        source_ip: caller.ip,
        source_name: caller.kind === 'Range' ? caller.name : '',
        ...called(to, caller.port),
      };
      const count = 10 + Math.floor(elapsed / (3 + index));
      lines.push(`${tagged('plainsight_connections_total', labels)} ${count}`, `${tagged('plainsight_last_seen_timestamp_seconds', labels)} ${Math.floor(now)}`);
      if (labels.peer === 'plaintext') {
        lines.push(`${tagged('plainsight_requests_total', { ...labels, traffic: caller.traffic ?? 'app' })} ${count * 3}`);
      }
    });
  for (const { ip, name } of turnedAway.filter((away) => away.to === to)) {
    lines.push(`${tagged('plainsight_handshake_failures_total', { source_ip: ip, source_name: name, ...called(to, workload.ports[0] ?? 0) })} ${4 + Math.floor(elapsed / 15)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** The metrics of kube-state-metrics. */
export function kubeStateMetrics(now: number): string {
  const lines: string[] = [];
  const add = (name: string, labels: Record<string, string>, value = 1) => lines.push(`${series(name, labels)} ${value}`);
  for (const { namespace, pod, ip, owner, kind, sidecar } of pods) {
    const node = `node-${1 + (ip.length % 3)}`;
    const id = { namespace, pod, uid: `${namespace}-${pod}` };
    add('kube_pod_info', { ...id, pod_ip: ip, host_ip: `10.0.0.${node.slice(-1)}`, node, created_by_kind: kind, created_by_name: owner, host_network: 'false' });
    add('kube_pod_start_time', id, Math.floor(now - 40 * day));
    add('kube_pod_status_phase', { ...id, phase: 'Running' });
    add('kube_pod_container_info', { ...id, container: 'app' });
    if (sidecar) {
      // A native sidecar is an init container.
      add(namespace === 'search' ? 'kube_pod_init_container_info' : 'kube_pod_container_info', { ...id, container: 'istio-proxy' });
    }
    const name = owner.replace(/-[0-9a-f]{4}$/, '');
    if (kind === 'ReplicaSet') {
      add('kube_replicaset_owner', { namespace, replicaset: owner, owner_kind: 'Deployment', owner_name: name });
    } else {
      add('kube_job_owner', { namespace, job_name: owner, owner_kind: 'CronJob', owner_name: name });
    }
  }
  for (const node of ['1', '2', '3']) {
    add('kube_node_info', { node: `node-${node}`, internal_ip: `10.0.0.${node}` });
  }
  return `${[...new Set(lines)].join('\n')}\n`;
}

/**
 * Recordings up to `now` of a Prometheus with the rules, as OpenMetrics for promtool: an hour of evidence and proof, from
 * which the rules continue, and a day of the series for the curves.
 */
export function recorded(now: number): string {
  const families = new Map<string, string[]>();
  const add = (name: string, labels: Record<string, string | number>, step: number, back: number, value: (at: number) => number | undefined) => {
    const lines = families.get(name) ?? [];
    families.set(name, lines);
    for (let at = now - back; at <= now; at += step) {
      const sample = value(at);
      if (sample !== undefined) {
        lines.push(`${series(name, labels)} ${sample} ${at}`);
      }
    }
  };
  callers.forEach((caller) => {
    const isWorkload = caller.kind === 'Deployment' || caller.kind === 'CronJob';
    const labels = {
      caller: caller.name,
      caller_kind: caller.kind,
      caller_namespace: isWorkload ? (caller.name.split('/')[0] ?? '') : '',
      source_ip: isWorkload ? '' : caller.ip,
      source_name: caller.kind === 'Range' ? caller.name : '',
      peer: caller.peer ?? 'plaintext',
      strict: caller.strict ?? 'reject',
      traffic: caller.traffic ?? 'app',
      ...called(caller.to, caller.port),
    };
    const since = now - caller.first;
    add('plainsight:caller:last_seen_timestamp_seconds', labels, 60, 3600, (at) => (at < since ? undefined : Math.max(since, (caller.last === 0 ? at : now - caller.last) - 120)));
    add('plainsight:caller:first_seen_timestamp_seconds', labels, 60, Math.min(day, caller.first), () => since);
  });
  workloads.forEach((one, at) => {
    const { namespace, name, provenFor } = one;
    const labels = { destination_workload_namespace: namespace, destination_workload: name };
    if (provenFor > 0) {
      add('plainsight:workload:covered', labels, 60, 1800, () => 1);
      add('plainsight:workload:reporting_since_timestamp_seconds', labels, 60, 1800, () => now - provenFor * day);
    }
    add('plainsight:workload:pods', labels, 240, day, () => one.pods);
    add('plainsight:workload:pods_reporting', labels, 240, day, () => one.reporting);
    for (const port of one.ports) {
      const wave = (time: number) => 1 + 0.4 * Math.sin((time / day) * 2 * Math.PI + at) + 0.1 * rand(time / 240 + at);
      add('plainsight:port:connections:rate5m', { ...labels, destination_port: port, peer: 'mutual_tls', strict: 'allow' }, 240, day, (time) => one.pods * wave(time));
      add('plainsight:port:requests:rate5m', { ...labels, destination_port: port, peer: 'mutual_tls', strict: 'allow' }, 240, day, (time) => 20 * one.pods * wave(time));
    }
  });
  callers.forEach((caller, at) => {
    const { peer = 'plaintext', strict = 'reject', traffic = 'app' } = caller;
    const rate = (time: number) => (time >= now - caller.first && (caller.last === 0 || Math.abs(time - (now - caller.last)) < 1200) ? 0.2 + 0.2 * rand(time / 240 + at) : undefined);
    const labels = { ...called(caller.to, caller.port), peer, strict };
    const isOnly = callers.findIndex((other) => other.to === caller.to && other.port === caller.port && (other.peer ?? 'plaintext') === peer) === at;
    if (isOnly) {
      add('plainsight:port:connections:rate5m', labels, 240, day, rate);
      if (peer === 'plaintext') {
        add('plainsight:port:requests:rate5m', { ...labels, traffic }, 240, day, (time) => (rate(time) ?? 0) * 3);
      }
    }
  });
  for (const [namespace, state] of Object.entries(expected)) {
    const labels = { destination_workload_namespace: namespace, window: '7d', counted: 'all' };
    add('plainsight:namespace:ready', labels, 240, day, () => (state === 'ready' ? 1 : 0));
    add('plainsight:namespace:blocking_callers', labels, 240, day, () => (state === 'callers in the way' ? 1 : 0));
  }
  for (const { ip, name, to, port } of turnedAway) {
    const labels = { caller: name, caller_kind: 'Range', source_ip: ip, source_name: name, ...called(to, port) };
    add('plainsight:caller:handshake_failures:increase15m', labels, 240, 3 * 3600, (time) => Math.round(40 + 20 * rand(time / 240)));
  }
  return `${[...families].map(([name, lines]) => [`# TYPE ${name} gauge`, ...lines].join('\n')).join('\n')}\n# EOF\n`;
}
