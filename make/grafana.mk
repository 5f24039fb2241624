# The Grafana dashboard: made, checked and drawn by tools/grafana. docs/dashboard.md describes it.

GRAFANA := tools/grafana
GRAFANA_SOURCES := $(wildcard $(GRAFANA)/src/*.ts $(GRAFANA)/src/*/*.ts $(GRAFANA)/test/*.ts)

# npm writes this file last. A fresh Debian has neither Node nor npm; one that came from elsewhere is left as it is.
$(GRAFANA)/node_modules/.package-lock.json: $(GRAFANA)/package.json $(GRAFANA)/package-lock.json
	@command -v npm >/dev/null || tools/setup apt nodejs npm
	@echo "grafana: installing the SDK and the compiler from package-lock.json"
	@cd $(GRAFANA) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(GRAFANA)/build/.compiled: $(GRAFANA)/node_modules/.package-lock.json $(GRAFANA)/tsconfig.json $(GRAFANA_SOURCES)
	@rm -rf $(GRAFANA)/build
	@cd $(GRAFANA) && node node_modules/typescript/bin/tsc -p .
	@touch $@

.PHONY: gen-grafana lint-grafana test-grafana dashboard-picture
gen-grafana: $(GRAFANA)/build/.compiled ## write the Grafana dashboard from its source in tools/grafana
	@node $(GRAFANA)/build/src/generate.js

lint-grafana: $(GRAFANA)/build/.compiled ## check the dashboard: Grafana's types, PromQL, series, empty states, links
	@node $(GRAFANA)/build/src/lint.js

test-grafana: $(GRAFANA)/build/.compiled ## broken dashboards must be refused by the checks
	@node --test $(GRAFANA)/build/test/*.test.js

dashboard-picture: $(GRAFANA)/build/.compiled ## ask a real Prometheus with the shipped rules every query; draw docs/dashboard.svg (6 minutes)
	@tools/setup apt prometheus
	@node $(GRAFANA)/build/src/live.js docs/dashboard.svg
