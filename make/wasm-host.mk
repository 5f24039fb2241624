# The real module in a host that counts: gates without noise, contract, hostile input.

CASES ?= 1000000
SEED ?= 1

.PHONY: test-wasm-host
test-wasm-host: $(WASM) ## the real module in a counting host: cost gates, contract, hostile input
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo test --locked --package plainsight-wasm-host

.PHONY: hostile
hostile: $(WASM) ## play CASES (1,000,000) hostile cases against the real module, seed SEED
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo run --locked --quiet --package plainsight-wasm-host --bin hostile -- $(CASES) $(SEED)

FUZZ_TARGETS := $(patsubst integration/fuzz/fuzz_targets/%.rs,%,$(wildcard integration/fuzz/fuzz_targets/*.rs))
SECONDS ?= 60

# Not in CI: it needs a nightly Rust, and finds other things on every run. The same checks run bounded in test-wasm-host.
.PHONY: fuzz
fuzz: ## fuzz every parser for SECONDS (60) seconds; needs a nightly Rust
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz --version 0.13.2
	@for target in $(FUZZ_TARGETS); do \
		echo "fuzz: $$target, $(SECONDS) s"; \
		cargo +nightly fuzz run --fuzz-dir integration/fuzz $$target -- -max_total_time=$(SECONDS) -max_len=4096 -verbosity=0 -print_final_stats=1; \
	done

# By hand: hours for all of src/. ONLY_FILE limits it, such as ONLY_FILE=src/traffic.rs.
.PHONY: mutants
mutants: ## change src/ in one place at a time: a change that no unit test notices is listed
	@cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants --version 27.1.0
	cargo mutants --package plainsight $(if $(ONLY_FILE),--file $(ONLY_FILE))
