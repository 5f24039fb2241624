# The manifests, and the verdicts held against Istio's own programs.

# The programs are built from the Go module at the commit in integration/istio/go/go.mod; the folder is named after all that
# decides what comes out.
ISTIO_PROGRAMS = $${PLAINSIGHT_CACHE:-$$HOME/.cache/plainsight}/istio/$(shell cat integration/istio/go/go.mod integration/istio/go/go.sum integration/istio/build 2>/dev/null | sha256sum | cut -c1-16)

.PHONY: istio-build
istio-build: ## build istiod, pilot-agent, istioctl and kustomize with Go (once; 4 GB of disk, 10 minutes)
	@integration/istio/build "$(ISTIO_PROGRAMS)"

.PHONY: lint-istio
lint-istio: ## the manifests for Istio: keys, labels, images, files; without Go
	cargo test --locked --package plainsight-istio-test --test manifests --lib

.PHONY: test-istio
test-istio: istio-build $(WASM) ## real istiod, Istio's agent and real Envoys: delivery, proof, labels, image (root, Go)
	@tools/setup apt docker-registry iproute2 iptables skopeo util-linux
	@integration/istio/run "$(ISTIO_PROGRAMS)" "$$(tools/setup envoy $(ENVOY_NEWEST))" $(WASM)

.PHONY: istio-proof
istio-proof: istio-build $(WASM) ## write docs/istio-proof.md: verdict against fact, with istiod's own listeners
	@tools/setup apt docker-registry iproute2 iptables skopeo util-linux
	@PLAINSIGHT_ISTIO_PROOF=$(CURDIR)/docs/istio-proof.md integration/istio/run "$(ISTIO_PROGRAMS)" "$$(tools/setup envoy $(ENVOY_NEWEST))" $(WASM) --test proof
