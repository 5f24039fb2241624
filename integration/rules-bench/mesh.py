"""A synthetic mesh on loopback: what its sidecars and kube-state-metrics would show to Prometheus.

Each of WORKLOADS workloads has 2 pods; 50 caller workloads of 2 pods each call every one of them all the time, in plaintext.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACES = 40
CALLERS = 50
PODS = 2
PORT = 8080


def address(block, number):
    return f"10.{block}.{number // 250}.{number % 250 + 1}"


class Mesh:
    """The pages, rendered on request: counters grow and callers are seen until now."""

    def __init__(self, workloads):
        self.workloads = workloads
        self.started = int(time.time())
        self.sources = [address(100, number) for number in range(CALLERS * PODS)]
        self.kube_state_metrics = self._kube_state_metrics()

    def pods(self):
        """(namespace, pod) of every pod with the filter; its page is /pod/<index>."""
        return [(self.namespace(number // PODS), f"web-{number // PODS}-5d-{number % PODS}") for number in range(self.workloads * PODS)]

    @staticmethod
    def namespace(workload):
        return f"ns-{workload % NAMESPACES}"

    def sidecar(self, number):
        workload = number // PODS
        destination = f"destination_workload=web-{workload},destination_workload_namespace={self.namespace(workload)},destination_port={PORT}"
        now = time.time()
        count = int(now) - self.started + 1
        lines = [
            'plainsight_build_info{tag="version=0.2.0"} 1',
            "plainsight_config_errors{} 0",
            "plainsight_overflow_total{} 0",
            f'plainsight_connections_total{{tag="peer=mutual_tls,strict=allow,{destination}"}} {count}',
            f'plainsight_requests_total{{tag="peer=mutual_tls,strict=allow,{destination}"}} {count * 10}',
        ]
        for source in self.sources:
            labels = f"peer=plaintext,strict=reject,source_ip={source},{destination}"
            lines.append(f'plainsight_connections_total{{tag="{labels}"}} {count}')
            lines.append(f'plainsight_requests_total{{tag="{labels},traffic=app"}} {count * 10}')
            lines.append(f'plainsight_last_seen_timestamp_seconds{{tag="{labels}"}} {now:.0f}')
        # A kubelet that probes past the agent, from the node.
        labels = f"peer=plaintext,strict=reject,source_ip={address(1, number % 20)},{destination}"
        lines.append(f'plainsight_connections_total{{tag="{labels}"}} {count}')
        lines.append(f'plainsight_requests_total{{tag="{labels},traffic=probe"}} {count}')
        lines.append(f'plainsight_last_seen_timestamp_seconds{{tag="{labels}"}} {now:.0f}')
        return "\n".join(lines) + "\n"

    def _kube_state_metrics(self):
        lines = []
        owners = set()

        def pod(namespace, workload, number, ip, node, sidecar):
            name = f"{workload}-5d-{number}"
            labels = f'namespace="{namespace}",pod="{name}",uid="{name}"'
            lines.append(
                f'kube_pod_info{{{labels},host_ip="{address(1, node)}",pod_ip="{ip}",node="node-{node}",created_by_kind="ReplicaSet",'
                f'created_by_name="{workload}-5d",priority_class="",host_network="false"}} 1'
            )
            lines.append(f'kube_pod_ips{{{labels},ip="{ip}",ip_family="4"}} 1')
            lines.append(f"kube_pod_start_time{{{labels}}} {self.started - 7200}")
            for phase in ("Pending", "Succeeded", "Failed", "Unknown", "Running"):
                lines.append(f'kube_pod_status_phase{{{labels},phase="{phase}"}} {int(phase == "Running")}')
            for container in ("app", "istio-proxy") if sidecar else ("app",):
                lines.append(f'kube_pod_container_info{{{labels},container="{container}",image="app"}} 1')
            owners.add((namespace, workload))

        for number, (namespace, _) in enumerate(self.pods()):
            pod(namespace, f"web-{number // PODS}", number % PODS, address(10, number), number % 20, True)
        for number, ip in enumerate(self.sources):
            pod("callers", f"caller-{number // PODS}", number % PODS, ip, number % 20, False)
        for namespace, workload in sorted(owners):
            lines.append(f'kube_replicaset_owner{{namespace="{namespace}",replicaset="{workload}-5d",owner_kind="Deployment",owner_name="{workload}",owner_is_controller="true"}} 1')
        for node in range(20):
            lines.append(f'kube_node_info{{node="node-{node}",internal_ip="{address(1, node)}"}} 1')
        return "\n".join(lines) + "\n"

    def serve(self):
        """Serves the pages from a free port of 127.0.0.1; returns its address."""
        mesh = self

        class Page(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.split("?")[0]
                text = mesh.kube_state_metrics if path == "/kube-state-metrics" else mesh.sidecar(int(path.removeprefix("/pod/")))
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_address[1]}"
