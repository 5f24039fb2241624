# Load, cardinality attacks and faults against a real Envoy with four workers, counted exactly. CI runs them small;
# docs/reliability.md has the figures of the large runs.

SOAK_MINUTES ?= 10
ADDRESSES ?= 100000

# $(call soak,CARGO ARGUMENTS): one of them against the newest Envoy.
define soak
	@ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) cargo $(1)
endef

.PHONY: test-soak
test-soak: $(WASM) ## load of every kind on four workers: every counter exact, memory flat
	$(call soak,test --locked --package plainsight-load --lib --bins --test load)

.PHONY: test-attack
test-attack: $(WASM) ## 3,000 callers that try to make too many series
	$(call soak,test --locked --package plainsight-load --test attack)

.PHONY: test-faults
test-faults: $(WASM) ## plugins removed, reconfigured, upgraded and drained under load
	$(call soak,test --locked --package plainsight-load --test faults)

.PHONY: soak
soak: $(WASM) ## load for SOAK_MINUTES (10), with a report
	$(call soak,run --locked --quiet --package plainsight-load -- soak $(SOAK_MINUTES))

.PHONY: soak-bare
soak-bare: $(WASM) ## the same load on an Envoy without plainsight, to compare the memory
	$(call soak,run --locked --quiet --package plainsight-load -- soak-bare $(SOAK_MINUTES))

.PHONY: attack
attack: $(WASM) ## the attack with ADDRESSES (100000), with a report
	$(call soak,run --locked --quiet --package plainsight-load -- attack $(ADDRESSES))

.PHONY: faults
faults: $(WASM) ## the faults with more load and longer drains, with a report
	$(call soak,run --locked --quiet --package plainsight-load -- faults)
