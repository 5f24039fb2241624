# What plainsight costs. The full bench wants a quiet machine with two CPUs or more and takes eight to ten minutes.

ROUNDS ?= 15
# Loads to measure, such as http1,http1-mtls; empty: all.
ONLY ?=
# Another build of plainsight, measured beside the one at hand: what a change is worth.
BEFORE ?=
BENCH_FILTERS := dist/bench

.PHONY: bench
bench: $(WASM) bench-filters ## measure the cost and compare it with the goals: [ROUNDS=n] [ONLY=http1,http1-mtls] [BEFORE=old.wasm]
	@tools/setup apt wrk nghttp2-client
	@cargo build --locked --release --package plainsight-bench
	@ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(WASM) PLAINSIGHT_BENCH_FILTERS=$(BENCH_FILTERS) \
		cargo run --locked --quiet --release --package plainsight-bench -- \
		--rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) $(if $(BEFORE),--before $(BEFORE))

.PHONY: bench-keep
bench-keep: ## keep the last run's chart and numbers as those that the README shows
	cp out/bench.svg out/bench.json bench/

# The filters that plainsight is compared with, built as any filter on the SDK is.
.PHONY: bench-filters
bench-filters:
	@tools/setup wasm-target
	@target="$${CARGO_TARGET_DIR:-target}/bench-filters"; \
	cargo build --locked --quiet --release --manifest-path bench/filters/Cargo.toml \
		--target wasm32-unknown-unknown --target-dir "$$target"; \
	mkdir -p $(BENCH_FILTERS); \
	cp "$$target"/wasm32-unknown-unknown/release/bench_{empty,naive}.wasm $(BENCH_FILTERS)/

.PHONY: test-bench
test-bench: $(WASM) bench-filters ## the bench's arithmetic, and its loads counted on a real Envoy; nothing is timed
	@tools/setup apt wrk nghttp2-client
	@ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) PLAINSIGHT_BENCH_FILTERS=$(abspath $(BENCH_FILTERS)) \
		cargo test --locked --package plainsight-bench

# The bench itself is linted with the workspace; its filters are a workspace of their own.
.PHONY: lint-bench
lint-bench: ## rustfmt and clippy for the bench's filters
	@tools/setup wasm-target
	cargo fmt --manifest-path bench/filters/Cargo.toml --all --check
	cargo clippy --locked --manifest-path bench/filters/Cargo.toml --target wasm32-unknown-unknown \
		--target-dir "$${CARGO_TARGET_DIR:-target}/bench-filters" -- -D warnings
