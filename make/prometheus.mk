# Recording rules, alerts and their tests.

PROMETHEUS := envoy-config/prometheus

.PHONY: promtool
promtool:
	@tools/setup apt prometheus

# Debian's Prometheus is built without Kubernetes discovery and refuses the word: the check puts another discovery in its place.
.PHONY: lint-prometheus
lint-prometheus: promtool ## check the rules, the alerts and the scrape configuration
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; cp $(PROMETHEUS)/*.yml "$$work"; \
	sed -i 's/kubernetes_sd_configs:/dns_sd_configs:/; s/- role: \(pod\|endpoints\)$$/- names: [\1]/' "$$work/prometheus.yml"; \
	promtool check config "$$work/prometheus.yml"

.PHONY: test-prometheus
test-prometheus: promtool ## run the unit tests of rules and alerts
	@promtool test rules $(PROMETHEUS)/tests/*.yml

.PHONY: test-live
test-live: $(WASM) promtool ## every rule, alert and dashboard query against real Envoys and a real Prometheus
	@cargo test --locked --quiet --package plainsight-live-check
	@PLAINSIGHT_ENVOY="$$(tools/setup envoy $(ENVOY_NEWEST))" PLAINSIGHT_WASM="$(CURDIR)/$(WASM)" \
		cargo run --locked --quiet --package plainsight-live-check
