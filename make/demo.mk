# The demo: the whole of plainsight on two real Envoys and a real Prometheus, on loopback.

# Said before anything is built; the demo itself says it too.
ifneq ($(filter demo,$(MAKECMDGOALS)),)
ifneq ($(filter-out 0 1,$(KEEP)),)
$(error KEEP: expected 1 to keep everything running, or nothing, got: $(KEEP))
endif
endif

# exec: Ctrl-C and SIGTERM reach the demo itself, which then ends what it started.
.PHONY: demo
demo: $(WASM) ## who would break under STRICT, shown on real Envoys; KEEP=1 keeps them running
	@tools/setup apt prometheus
	@echo "demo: building it (a few minutes the first time)"
	@cargo build --quiet --locked --package plainsight-demo
	@envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) KEEP='$(KEEP)' \
		exec cargo run --quiet --locked --package plainsight-demo

.PHONY: test-demo
test-demo: $(WASM) ## run the demo and check the facts it prints
	@tools/setup apt prometheus
	@envoy=$$(tools/setup envoy $(ENVOY_NEWEST)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) \
		cargo test --locked --package plainsight-demo
