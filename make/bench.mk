# The cost of plainsight. The full bench needs a quiet machine with two CPUs or more and takes about ten minutes.

ROUNDS ?= 15
# Loads to measure, such as http1,http1-mtls,memory; empty: all.
ONLY ?=
# Another build of plainsight, measured in the same run: the effect of a change.
BEFORE ?=
BENCH_FILTERS := dist/bench

.PHONY: bench
bench: $(WASM) bench-filters ## measure the cost and compare it with the goals: [ROUNDS=n] [ONLY=http1,memory] [BEFORE=old.wasm]
	@tools/setup apt wrk nghttp2-client
	@cargo build --locked --release --package plainsight-bench
	@ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(WASM) PLAINSIGHT_BENCH_FILTERS=$(BENCH_FILTERS) \
		cargo run --locked --quiet --release --package plainsight-bench -- \
		--rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) $(if $(BEFORE),--before $(BEFORE))

# The SDK's empty filter, built as any filter on the SDK is.
.PHONY: bench-filters
bench-filters:
	@tools/setup wasm-target
	@target="$${CARGO_TARGET_DIR:-target}/bench-filters"; \
	cargo build --locked --quiet --release --manifest-path integration/bench/filters/Cargo.toml \
		--target wasm32-unknown-unknown --target-dir "$$target"; \
	mkdir -p $(BENCH_FILTERS); \
	cp "$$target"/wasm32-unknown-unknown/release/bench_empty.wasm $(BENCH_FILTERS)/

.PHONY: test-bench
test-bench: $(WASM) bench-filters ## the bench's arithmetic, and its loads counted on a real Envoy; nothing is timed
	@tools/setup apt wrk nghttp2-client
	@ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) PLAINSIGHT_BENCH_FILTERS=$(abspath $(BENCH_FILTERS)) \
		cargo test --locked --package plainsight-bench

# The bench itself is linted with the workspace; its filter is a workspace of its own.
.PHONY: lint-bench
lint-bench: ## rustfmt and clippy for the SDK's empty filter
	@tools/setup wasm-target
	cargo fmt --manifest-path integration/bench/filters/Cargo.toml --check
	cargo clippy --locked --manifest-path integration/bench/filters/Cargo.toml --target wasm32-unknown-unknown \
		--target-dir "$${CARGO_TARGET_DIR:-target}/bench-filters" -- -D warnings
