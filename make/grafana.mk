# The Grafana dashboard: made, checked and drawn by tools/grafana. docs/dashboard.md says how it fits together.

GRAFANA := tools/grafana
GRAFANA_SOURCES := $(wildcard $(GRAFANA)/src/*.ts $(GRAFANA)/src/*/*.ts $(GRAFANA)/test/*.ts)

# npm writes this file last. A fresh Debian has neither Node nor npm; one that came from elsewhere is left as it is.
$(GRAFANA)/node_modules/.package-lock.json: $(GRAFANA)/package.json $(GRAFANA)/package-lock.json
	@command -v npm >/dev/null || tools/setup apt nodejs npm
	@echo "grafana: installing the schema and the compiler from package-lock.json"
	@cd $(GRAFANA) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(GRAFANA)/build/.compiled: $(GRAFANA)/node_modules/.package-lock.json $(GRAFANA)/tsconfig.json $(GRAFANA_SOURCES)
	@rm -rf $(GRAFANA)/build
	@cd $(GRAFANA) && node node_modules/typescript/bin/tsc -p .
	@touch $@

.PHONY: gen-grafana lint-grafana test-grafana
gen-grafana: $(GRAFANA)/build/.compiled ## write the Grafana dashboard from its source in tools/grafana
	@node $(GRAFANA)/build/src/generate.js

lint-grafana: $(GRAFANA)/build/.compiled ## check the dashboard: Grafana's types, PromQL, conventions
	@node $(GRAFANA)/build/src/generate.js --check
	@node $(GRAFANA)/build/src/lint.js

test-grafana: $(GRAFANA)/build/.compiled ## broken dashboards must be refused by the checks
	@echo "test-grafana: broken dashboards must be refused"
	@node --test $(GRAFANA)/build/test/*.test.js

# Minutes that the callers call before the picture is drawn; a caller counts as new only 10 minutes after the first report.
MINUTES ?= 40

.PHONY: dashboard-picture
dashboard-picture: $(GRAFANA)/build/.compiled $(WASM) ## draw docs/dashboard.svg from live answers; takes MINUTES=40
	@tools/setup apt prometheus
	@cargo build --quiet --locked --package plainsight-demo
	@demo=$$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/plainsight-demo; \
	envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(WASM) node $(GRAFANA)/build/src/live.js "$$demo" $(MINUTES) -- \
		--of "The callers of \`make demo\` on real Envoys, watched by a Prometheus with the shipped rules for $(MINUTES) minutes." \
		--window 1h --svg docs/dashboard.svg

.PHONY: dashboard-queries
dashboard-queries: $(GRAFANA)/build/.compiled ## run the live check and list its queries in docs/dashboard-queries.md
	@mkdir -p out
	@$(MAKE) --no-print-directory test-live | tee out/live-check.txt
	@node $(GRAFANA)/build/src/listed.js <out/live-check.txt >out/dashboard-queries.md
	@mv out/dashboard-queries.md docs/dashboard-queries.md
