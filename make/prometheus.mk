# Recording rules, alerts and their tests.

PROMETHEUS := envoy-config/prometheus

.PHONY: promtool
promtool:
	@tools/setup apt prometheus

# Debian's Prometheus is built without Kubernetes discovery and refuses the word: the check puts another discovery in its place.
.PHONY: lint-prometheus
lint-prometheus: promtool ## check the rules, the alerts (runbook, tests) and the scrape configuration
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; cp $(PROMETHEUS)/*.yml "$$work"; \
	sed -i 's/kubernetes_sd_configs:/dns_sd_configs:/; s/- role: \(pod\|endpoints\)$$/- names: [\1]/' "$$work/prometheus.yml"; \
	promtool check config "$$work/prometheus.yml"
	@tools/setup apt python3-yaml
	@python3 $(PROMETHEUS)/check-alerts.py

.PHONY: test-prometheus
test-prometheus: promtool ## run the unit tests of rules and alerts
	@promtool test rules $(PROMETHEUS)/tests/*.yml

# It keeps two CPUs busy for half an hour; no test. SIZES are workloads of 2 pods, each called by 50 workloads of 2 pods.
SIZES ?= 50,200,500

.PHONY: bench-rules
bench-rules: promtool ## what the rules cost Prometheus in a synthetic mesh, for SIZES=50,200,500 workloads
	@tools/setup apt python3-yaml
	@mkdir -p out
	@python3 integration/rules-bench/bench.py --sizes $(SIZES) --out out/rules-bench.md
