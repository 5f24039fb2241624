# The filter in real Envoys: all claims and the proof, against the newest and the oldest Envoy of Istio's supported
# releases, and on demand against all of them.

ENVOY_ALL := $(shell sed -n 's/^\([0-9.]*\) .*/\1/p' integration/envoy-versions)
ENVOY_OLDEST := $(firstword $(ENVOY_ALL))
ENVOY_NEWEST := $(lastword $(ENVOY_ALL))

# $(call integration,VERSION,CARGO TEST ARGUMENTS): the suite against one Envoy.
define integration
	@echo "integration: Envoy $(1)"
	@PLAINSIGHT_ENVOY="$$(tools/setup envoy $(1))" PLAINSIGHT_WASM="$(CURDIR)/$(WASM)" \
		cargo test --locked --package plainsight-claims $(2)
endef

.PHONY: test-integration
test-integration: $(WASM) ## run the claims and the proof against the newest Envoy
	$(call integration,$(ENVOY_NEWEST))

.PHONY: test-integration-oldest
test-integration-oldest: $(WASM) ## run the claims and the proof against the oldest Envoy
	$(call integration,$(ENVOY_OLDEST))

.PHONY: test-integration-all
test-integration-all: test-integration test-integration-oldest ## run them against both

.PHONY: proof
proof: $(WASM) ## run the proof against the newest Envoy and write docs/proof.md
	@mkdir -p docs
	@PLAINSIGHT_ENVOY="$$(tools/setup envoy $(ENVOY_NEWEST))" PLAINSIGHT_WASM="$(CURDIR)/$(WASM)" \
		PLAINSIGHT_PROOF="$(CURDIR)/docs/proof.md" \
		cargo test --locked --package plainsight-claims --test proof -- --nocapture
	@echo "proof: docs/proof.md"

# Runs every version even if one fails. A failure is shown in the table, and the target fails.
.PHONY: test-matrix
test-matrix: $(WASM) ## run everything against each supported Envoy and write docs/matrix.md
	@mkdir -p docs
	@integration/run-matrix docs/matrix.md "$(CURDIR)/$(WASM)" $(ENVOY_ALL)
