# The `plainsight` command.

.PHONY: test-cli
test-cli: ## the command: decisions, a real Prometheus, bad input, the page in a real browser
	@tools/setup apt prometheus chromium
	cargo test --locked --package plainsight-cli

.PHONY: cli-schema
cli-schema: ## write docs/schema from the command's documents
	UPDATE_SCHEMA=1 cargo test --locked --package plainsight-cli --test schema the_published_schema

.PHONY: cli-picture
cli-picture: ## draw docs/report.png, the HTML report in chromium
	@tools/setup apt prometheus chromium
	cargo test --locked --package plainsight-cli --test page -- --ignored picture

.PHONY: bench-cli
bench-cli: ## time, memory and size of the command at 500 workloads and 25,000 callers
	@tools/setup apt prometheus time
	cargo bench --locked --package plainsight-cli
