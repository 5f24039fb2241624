# The module.

WASM_SOURCES := Cargo.toml Cargo.lock .cargo/config.toml tools/build-wasm $(shell find src -name '*.rs')

# A file target: what needs the module depends on it, and nothing is built twice.
$(WASM): $(WASM_SOURCES)
	@tools/build-wasm $@

.PHONY: build
build: $(WASM) ## build the module, dist/plainsight.wasm
	@echo "build: $(WASM): $$(stat -c %s $(WASM)) bytes"

# Two copies of the tree in folders of different depth, one of them with a Cargo home of its own, so that every
# path that differs between machines differs here too.
.PHONY: build-check
build-check: ## build the module in two other folders and compare the bytes
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	for copy in one two/deeper; do \
		mkdir -p "$$work/$$copy"; \
		git ls-files -z --cached --others --exclude-standard \
			| { xargs -0 ls -d 2>/dev/null || true; } | tar -cf - -T - | tar -xf - -C "$$work/$$copy"; \
	done; \
	env -u CARGO_TARGET_DIR "$$work/one/tools/build-wasm" "$$work/one.wasm"; \
	env -u CARGO_TARGET_DIR CARGO_HOME="$$work/cargo" "$$work/two/deeper/tools/build-wasm" "$$work/two.wasm"; \
	cmp "$$work/one.wasm" "$$work/two.wasm"; \
	echo "build-check: the same $$(stat -c %s "$$work/one.wasm") bytes in two folders"
