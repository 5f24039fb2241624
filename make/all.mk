# The two lists that CI runs, named one by one: a target is in them or says why it is not.

LINTS := lint-unit lint-shell lint-lists lint-gen lint-bench lint-grafana lint-istio lint-prometheus
TESTS := test-unit test-gen test-wasm-host test-integration test-integration-oldest test-demo test-prometheus \
	test-grafana test-image test-bench test-soak test-attack test-faults

# .ci/run runs these where there is Go: they build istiod.
TESTS_WITH_GO := test-istio

# Run by hand, each for its reason:
# test-integration-all  both integration targets above, in one word
# test-matrix           the same against every supported Envoy; it writes docs/matrix.md
TESTS_BY_HAND := test-integration-all test-matrix

# Runs each target in turn and says which one it is in; the first that fails ends it.
define in_turn
@for part in $(1); do \
	echo "== $$part $$(date -u +%H:%M:%S)"; \
	$(MAKE) --no-print-directory $$part || { echo "== $$part FAILED $$(date -u +%H:%M:%S)" >&2; exit 1; }; \
done; echo "== $@ done $$(date -u +%H:%M:%S)"
endef

.PHONY: lint
lint: ## every lint
	$(call in_turn,$(LINTS))

.PHONY: test
test: ## every test that CI runs; installs what they need
	$(call in_turn,$(TESTS))

.PHONY: lint-unit
lint-unit: ## rustfmt, clippy for this machine and for wasm32, and the documentation
	@tools/setup wasm-target
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package plainsight --lib --target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --package plainsight --package plainsight-harness

.PHONY: test-unit
test-unit: ## the filter's own tests
	cargo test --locked --package plainsight

.PHONY: lint-shell
lint-shell: ## shellcheck on every script
	@tools/setup apt shellcheck
	shellcheck $$(git grep -lE '^#!.*\b(ba)?sh$$')

# A lint or test that no list names would never run, and nobody would notice.
.PHONY: lint-lists
lint-lists: ## every lint-* and test-* target is run by CI, or listed as run by hand
	@defined=$$(sed -n 's/^\(\(lint\|test\)-[a-z0-9-]*\):.*/\1/p' Makefile make/*.mk | sort -u); \
	listed=$$(printf '%s\n' $(LINTS) $(TESTS) $(TESTS_WITH_GO) $(TESTS_BY_HAND) | sort -u); \
	if ! diff <(echo "$$defined") <(echo "$$listed"); then \
		echo "lint-lists: make/all.mk: '<' has no list that names it, '>' is listed and no target" >&2; exit 1; \
	fi
