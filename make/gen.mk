# Files that are made from other files, by tools/gen.

.PHONY: gen
gen: ## write the generated files
	@cargo run --locked --quiet --package plainsight-gen

.PHONY: lint-gen
lint-gen: ## generated files are up to date; rules, alerts, dashboard and runbook agree
	@cargo run --locked --quiet --package plainsight-gen -- --check

.PHONY: test-gen
test-gen: ## the generator's own tests
	@cargo test --locked --quiet --package plainsight-gen
