# The documentation's tables, written from the filter's definitions by tools/gen.

.PHONY: gen
gen: ## write the tables of README.md and docs/metrics.md
	@cargo run --locked --quiet --package plainsight-gen

.PHONY: lint-gen
lint-gen:
	@cargo run --locked --quiet --package plainsight-gen -- --check
