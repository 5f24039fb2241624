# The chart, and the verdicts held against Istio's own programs.

# Go programs are built from a go.mod with `tool` lines; the folder is named after all that decides what comes out.
GO_PROGRAMS = $${PLAINSIGHT_CACHE:-$$HOME/.cache/plainsight}/go/$(1)-$(shell cat $(2)/go.mod $(2)/go.sum | sha256sum | cut -c1-16)
ISTIO_PROGRAMS = $(call GO_PROGRAMS,istio,integration/istio/go)
HELM_PROGRAMS = $(call GO_PROGRAMS,helm,tools/helm)
CHART := envoy-config/chart
# Helm says of each link in files/ that it follows it.
QUIET_HELM = "$(HELM_PROGRAMS)/helm" 2> >(grep -v 'found symbolic link' >&2)

.PHONY: helm istio-build chart manifests chart-golden
helm:
	@tools/build-go tools/helm "$(HELM_PROGRAMS)"

istio-build: ## build istiod, pilot-agent and istioctl with Go (once; 4 GB of disk, 10 minutes)
	@tools/build-go integration/istio/go "$(ISTIO_PROGRAMS)"

chart: helm ## package the chart, with the rules and the dashboard in it: dist/plainsight-VERSION.tgz (Go)
	@mkdir -p dist
	@$(QUIET_HELM) package $(CHART) --destination dist

# VALUES: a file with at least image.repository and image.digest.
manifests: helm ## render the chart to dist/manifests for those who do not use Helm: VALUES=FILE [NAMESPACE=monitoring] (Go)
	@test -n "$(VALUES)" || { echo "manifests: VALUES: not set: make manifests VALUES=values.yaml" >&2; exit 1; }
	@rm -rf dist/manifests
	@$(QUIET_HELM) template plainsight $(CHART) --namespace $(or $(NAMESPACE),monitoring) --values $(VALUES) --output-dir dist/manifests

# Where the API definitions are that the chart is held against; Go checks what it downloads.
GO_MODULE = $$(go mod download -json $(1) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')

TEST_CHART = PLAINSIGHT_ISTIO_API_OLDEST="$(call GO_MODULE,istio.io/api@v1.27.3)" \
	PLAINSIGHT_ISTIO_API_NEWEST="$(call GO_MODULE,istio.io/api@v1.31.1)" \
	PLAINSIGHT_OPERATOR="$(call GO_MODULE,github.com/prometheus-operator/prometheus-operator@v0.85.0)" \
	PLAINSIGHT_HELM="$(HELM_PROGRAMS)/helm" PLAINSIGHT_CHART="$$(ls $(CURDIR)/dist/plainsight-*.tgz)" \
	cargo test --locked --package plainsight-istio

.PHONY: test-chart
test-chart: chart ## the chart: golden files, broken values, API definitions, rules and dashboard in it (Go)
	@$(TEST_CHART) --test chart --test apis

chart-golden: chart ## write the golden files of integration/istio/charts
	@PLAINSIGHT_GOLDEN=write $(TEST_CHART) --test chart every_set

RUN_ISTIO = PLAINSIGHT_ISTIO="$(ISTIO_PROGRAMS)" PLAINSIGHT_HELM="$(HELM_PROGRAMS)/helm" \
	PLAINSIGHT_BOOTSTRAP="$$(cd integration/istio/go && go list -m -f '{{.Dir}}' istio.io/istio)/tools/packaging/common/envoy_bootstrap.json" \
	PLAINSIGHT_ENVOY="$$(tools/setup envoy $(ENVOY_NEWEST))" PLAINSIGHT_WASM="$(CURDIR)/$(WASM)" integration/istio/run

.PHONY: lint-istio
lint-istio: ## the chart's files, and the stand-in for Kubernetes; without Go
	cargo test --locked --package plainsight-istio --test files --lib

.PHONY: test-istio
test-istio: istio-build helm $(WASM) ## real istiod, Istio's agent and real Envoys: delivery, proof, labels, image (root, Go)
	@tools/setup apt docker-registry iproute2 iptables skopeo util-linux
	@$(RUN_ISTIO)

.PHONY: istio-proof
istio-proof: istio-build helm $(WASM) ## write docs/istio-proof.md: verdict against fact, with istiod's own listeners
	@tools/setup apt docker-registry iproute2 iptables skopeo util-linux
	@PLAINSIGHT_ISTIO_PROOF=$(CURDIR)/docs/istio-proof.md $(RUN_ISTIO) --test proof
