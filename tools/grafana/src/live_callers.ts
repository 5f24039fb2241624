/** The demo's callers, calling again and again: each from its own loopback address, each at its own pace. */
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { connect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

/** Where the demo's sidecars listen, as `host:port`. */
export interface Places {
  http: string;
  tcp: string;
  auto: string;
  undeclared: string;
  /** The client's sidecar: what goes through it arrives with mutual TLS. */
  sidecar: string;
}

const split = (place: string): { host: string; port: number } => {
  const [host = '', port = ''] = place.split(':');
  return { host, port: Number(port) };
};

/** A failed call is no failure here: some of these callers are turned away on purpose. */
const ignore = (): void => undefined;

function request(place: string, path: string, from: string, agent?: string): void {
  const headers = agent === undefined ? {} : { 'user-agent': agent };
  httpGet({ ...split(place), path, localAddress: from, headers, agent: false }, (answer) => answer.resume()).on('error', ignore);
}

function bytes(place: string, from: string): void {
  // Who hangs up before the answer may be gone before Envoy has looked: then it was neither served nor seen.
  const socket = connect({ ...split(place), localAddress: from }, () => socket.write('hello\n'));
  socket.on('error', ignore).on('data', () => socket.end());
}

function ownTls(place: string, from: string): void {
  httpsGet({ ...split(place), path: '/report', localAddress: from, rejectUnauthorized: false, agent: false }, (answer) => answer.resume()).on('error', ignore);
}

/** TLS as the mesh speaks it, without the mesh's certificate: the handshake fails. */
function withoutCertificate(place: string, from: string): void {
  const socket = tlsConnect({ socket: connect({ ...split(place), localAddress: from }).on('error', ignore), ALPNProtocols: ['istio'], rejectUnauthorized: false });
  socket.on('error', ignore).resume();
}

/**
 * Starts all callers; the answer stops them. Two of them turn up only after half of `minutes`: one the rules can then
 * tell as new, and one without a certificate that is turned away.
 */
export function calls(places: Places, minutes: number): () => void {
  const later = (minutes * 60) / 2;
  const plan: [every: number, from: number, call: () => void][] = [
    [2, 0, () => request(places.sidecar, '/orders', '127.0.0.1')],
    [20, 0, () => request(places.http, '/orders/export', '127.0.0.21')],
    [90, 0, () => request(places.undeclared, '/debug', '127.0.0.21')],
    [10, 0, () => request(places.http, '/healthz', '127.0.0.22', 'kube-probe/1.31')],
    [15, 0, () => request(places.http, '/metrics', '127.0.0.23', 'Prometheus/2.53.0')],
    [30, 0, () => bytes(places.tcp, '127.0.0.65')],
    [25, 0, () => ownTls(places.auto, '127.0.0.25')],
    [12, later, () => request(places.http, '/orders', '127.0.0.99')],
    [18, later, () => withoutCertificate(places.http, '127.0.0.98')],
  ];
  const start = Date.now();
  const timers = plan.map(([every, from, call]) =>
    setInterval(() => {
      if (Date.now() - start >= from * 1000) {
        call();
      }
    }, every * 1000),
  );
  return () => timers.forEach((timer) => clearInterval(timer));
}
