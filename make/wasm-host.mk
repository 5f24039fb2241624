# The real module in a host that counts: gates without noise, contract, hostile input.

CASES ?= 1000000
SEED ?= 1

.PHONY: test-wasm-host
test-wasm-host: $(WASM) ## the real module in a counting host: cost gates, contract, hostile input
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo test --locked --package plainsight-wasm-host

.PHONY: hostile
hostile: $(WASM) ## play CASES (1,000,000) hostile cases against the real module, seed SEED
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo run --locked --release --quiet --package plainsight-wasm-host --bin hostile -- $(CASES) $(SEED)
