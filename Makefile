# The public tasks; `make help` lists them. ONLY selects parts of a task: `make test ONLY=unit,cli`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The Envoys to test with, from integration/envoys.
ENVOYS := $(shell sed -n 's/^\([0-9.]*\) .*/\1/p' integration/envoys)
OLDEST := $(firstword $(ENVOYS))
NEWEST := $(lastword $(ENVOYS))
WASM := dist/plainsight.wasm
# The parts of a task to run, separated by commas; empty: all.
ONLY ?=
comma := ,

# $(call parts,TASK,PARTS): runs the parts of a task in order, or those in ONLY. Stops at the first failure.
define parts
@for part in $(if $(ONLY),$(subst $(comma), ,$(ONLY)),$(2)); do \
	case " $(2) " in *" $$part "*) ;; *) echo "$(1): ONLY: $$part: not one of: $(2)" >&2; exit 1 ;; esac; \
	echo "== $(1) $$part $$(date -u +%H:%M:%S)"; \
	$(MAKE) $(1)/$$part ONLY= || { echo "== $(1) $$part FAILED $$(date -u +%H:%M:%S)" >&2; exit 1; }; \
done; echo "== $(1) done $$(date -u +%H:%M:%S)"
endef

# $(call envoy,VERSION): the environment of a test with a real Envoy.
envoy = ulimit -n "$$(ulimit -Hn)"; envoy=$$(tools/setup envoy $(1)); \
	PLAINSIGHT_ENVOY=$$envoy PLAINSIGHT_WASM=$(abspath $(WASM)) PLAINSIGHT_BENCH_FILTERS=$(abspath dist/bench)

.PHONY: help
help: ## this list
	@awk '/^## /{print "\n" substr($$0, 4)} /^[a-z-]+:.*## /{split($$0, a, ":.*## "); printf "  %-12s %s\n", a[1], a[2]}' Makefile

## Start here

.PHONY: demo
demo: $(WASM) ## which callers STRICT would break, on real Envoys and a real Prometheus; KEEP=1 keeps them running
	@case "$(KEEP)" in ''|0|1) ;; *) echo "demo: KEEP: expected 1 or nothing, got: $(KEEP)" >&2; exit 1 ;; esac
	@tools/setup apt prometheus
	@echo "demo: building (a few minutes the first time)"
	@cargo build --quiet --locked --package plainsight-demo --package plainsight-cli
	@$(call envoy,$(NEWEST)) KEEP='$(KEEP)' exec cargo run --quiet --locked --package plainsight-demo

.PHONY: demo-cluster
demo-cluster: $(WASM) ## the whole migration to STRICT and back in a real cluster (Go, root; 5 minutes); KEEP=1 keeps it running
	@echo "demo-cluster: building it (half an hour the first time)"
	@environment=$$(integration/cluster/prepare) && eval "$$environment" && \
	cargo build --quiet --locked --package plainsight-cli --package plainsight-cluster && \
	KEEP='$(KEEP)' exec cargo run --quiet --locked --package plainsight-cluster --bin story

TESTS := unit wasm-host claims load cli prometheus grafana image bench demo
.PHONY: test
test: ## all tests that need no Go; ONLY=unit,wasm-host,claims,load,cli,prometheus,grafana,image,bench,demo
	$(call parts,test,$(TESTS))

LINTS := rust shell gen grafana prometheus chart
.PHONY: lint
lint: ## all lints; ONLY=rust,shell,gen,grafana,prometheus,chart
	$(call parts,lint,$(LINTS))

CLUSTER_TESTS := chart workflows cluster
.PHONY: test-cluster
test-cluster: ## the tests that need Go and root: the chart with Helm, verdicts and delivery in a real cluster; ONLY=chart,workflows,cluster
	$(call parts,test-cluster,$(CLUSTER_TESTS))

## Build

.PHONY: build
build: $(WASM) ## the module, dist/plainsight.wasm; CHECK=1 builds it in two more folders and compares the bytes
	@echo "build: $(WASM): $$(stat -c %s $(WASM)) bytes"
	@[ "$(CHECK)" != 1 ] || tools/build-twice

# A file target: targets that need the module depend on it, so it is built once.
$(WASM): Cargo.toml Cargo.lock .cargo/config.toml tools/build-wasm $(shell find src -name '*.rs')
	@tools/build-wasm $@

.PHONY: image
image: $(WASM) ## the OCI image, dist/image, without a daemon; prints its digest
	@tools/setup apt umoci skopeo
	@digest=$$(tools/image/build $(WASM) dist/image); echo "$$digest" >dist/image.digest; \
	echo "image: dist/image: $$digest"; \
	echo "image: push it: skopeo copy oci:dist/image:plainsight docker://REGISTRY/plainsight:VERSION"

CHART := envoy-config/chart
# Go programs are built from a go.mod with `tool` lines; the folder is named after the hash of its inputs.
go_programs = $${PLAINSIGHT_CACHE:-$$HOME/.cache/plainsight}/go/$(1)-$(shell cat $(2)/go.mod $(2)/go.sum | sha256sum | cut -c1-16)
HELM_PROGRAMS = $(call go_programs,helm,tools/helm)
# Helm logs each link in files/ that it follows.
QUIET_HELM = "$(HELM_PROGRAMS)/helm" 2> >(grep -v 'found symbolic link' >&2)

.PHONY: helm
helm:
	@tools/build-go tools/helm "$(HELM_PROGRAMS)"

.PHONY: chart
chart: helm ## the chart with the rules and the dashboard, dist/plainsight-VERSION.tgz (needs Go)
	@mkdir -p dist
	@$(QUIET_HELM) package $(CHART) --destination dist

.PHONY: manifests
manifests: helm ## the chart rendered to dist/manifests, for use without Helm: VALUES=FILE [NAMESPACE=monitoring] (needs Go)
	@test -n "$(VALUES)" || { echo "manifests: VALUES: not set: make manifests VALUES=values.yaml" >&2; exit 1; }
	@rm -rf dist/manifests
	@$(QUIET_HELM) template plainsight $(CHART) --namespace $(or $(NAMESPACE),monitoring) --values $(VALUES) --output-dir dist/manifests

.PHONY: sbom
sbom: ## the module's crates and licences, dist/sbom.cdx.json (CycloneDX)
	@cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-cyclonedx --version 0.5.9
	@cargo cyclonedx --quiet --format json --target wasm32-unknown-unknown --override-filename sbom.cdx
	@mkdir -p dist && mv sbom.cdx.json dist/sbom.cdx.json && git clean --quiet --force -- '*/sbom.cdx.json'
	@echo "sbom: dist/sbom.cdx.json: $$(grep -c '"purl"' dist/sbom.cdx.json) packages"

.PHONY: gen
gen: ## regenerates committed files: tables in the documentation, the dashboard, the command's schema
	@cargo run --locked --quiet --package plainsight-gen
	@$(MAKE) gen/grafana
	@UPDATE_SCHEMA=1 cargo test --locked --quiet --package plainsight-cli --test schema the_published_schema

## Run by hand: slow, or need a quiet machine

ROUNDS ?= 15
SIZES ?= 50,200,500
.PHONY: bench
bench: $(WASM) bench-filters ## the cost of the filter, against the goals; [ROUNDS=15] [ONLY=http1,memory] [BEFORE=old.wasm]
	@tools/setup apt wrk nghttp2-client
	@cargo build --locked --release --package plainsight-bench
	@$(call envoy,$(NEWEST)) cargo run --locked --quiet --release --package plainsight-bench -- \
		--rounds $(ROUNDS) $(if $(ONLY),--only $(ONLY)) $(if $(BEFORE),--before $(BEFORE))

.PHONY: bench-rules
bench-rules: ## the cost of the rules in Prometheus, for SIZES=50,200,500 workloads of 2 pods; 40 minutes
	@tools/setup apt prometheus python3-yaml
	@mkdir -p out
	@/usr/bin/python3 integration/rules-bench/bench.py --sizes $(SIZES) --out out/rules-bench.md

.PHONY: bench-cli
bench-cli: ## the cost of the command for 500 workloads and 25,000 callers
	@tools/setup apt prometheus
	cargo bench --locked --package plainsight-cli

.PHONY: bench-cluster
bench-cluster: $(WASM) ## what 500 workloads and 2,000 pods in a real API cost kube-state-metrics, Prometheus and the command (Go, root)
	@environment=$$(integration/cluster/prepare) && eval "$$environment" && \
	cargo build --quiet --locked --release --package plainsight-cli && \
	cargo run --quiet --locked --release --package plainsight-cluster --bin size

MINUTES ?= 10
ADDRESSES ?= 100000
CASES ?= 1000000
SEED ?= 1
STRESSES := soak attack faults hostile
.PHONY: stress
stress: ## the large runs of docs/reliability.md; ONLY=soak,attack,faults,hostile [MINUTES=10] [ADDRESSES=100000] [CASES=1000000]
	$(call parts,stress,$(STRESSES))

SECONDS ?= 60
.PHONY: fuzz
fuzz: ## fuzzes every parser for SECONDS=60 seconds; needs nightly Rust
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz --version 0.13.2
	@for target in $(patsubst integration/fuzz/fuzz_targets/%.rs,%,$(wildcard integration/fuzz/fuzz_targets/*.rs)); do \
		echo "fuzz: $$target, $(SECONDS) s"; \
		cargo +nightly fuzz run --fuzz-dir integration/fuzz $$target -- \
			-max_total_time=$(SECONDS) -max_len=4096 -verbosity=0 -print_final_stats=1; \
	done

.PHONY: mutants
mutants: ## changes src/ in one place at a time and lists the changes that no unit test detects; [FILE=src/worker.rs]
	@cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants --version 27.1.0
	cargo mutants --package plainsight $(if $(FILE),--file $(FILE))

DOCS := proof istio-proof story matrix dashboard report
.PHONY: docs
docs: ## regenerates the pages that tests write; ONLY=proof,istio-proof,story,matrix,dashboard,report
	$(call parts,docs,$(DOCS))

# Parts of lint

.PHONY: lint/rust lint/shell lint/gen lint/grafana lint/prometheus lint/chart
lint/rust:
	@tools/setup wasm-target
	cargo fmt --all --check
	cargo fmt --manifest-path integration/bench/filters/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package plainsight --lib --target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --package plainsight --package plainsight-cli

lint/shell:
	@tools/setup apt shellcheck
	shellcheck $$(git grep -lE '^#!.*\b(ba)?sh$$')

lint/gen:
	@cargo run --locked --quiet --package plainsight-gen -- --check

lint/grafana:
	@$(MAKE) gen/grafana-built
	@node $(GRAFANA)/build/src/lint.js

# Debian's Prometheus rejects kubernetes_sd_configs, so the check replaces it with another discovery.
lint/prometheus:
	@tools/setup apt prometheus python3-yaml
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; cp $(PROMETHEUS)/*.yml "$$work"; \
	sed -i 's/kubernetes_sd_configs:/dns_sd_configs:/; s/- role: \(pod\|endpoints\)$$/- names: [\1]/' "$$work/prometheus.yml"; \
	promtool check config "$$work/prometheus.yml"
	@/usr/bin/python3 $(PROMETHEUS)/check-alerts.py

lint/chart:
	cargo test --locked --package plainsight-cluster --test files --lib

# Parts of test

.PHONY: $(TESTS:%=test/%)
test/unit:
	cargo test --locked --package plainsight --package plainsight-gen

test/wasm-host: $(WASM)
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo test --locked --package plainsight-wasm-host

# These tests mostly wait: for an Envoy to start, for a drain, for the next flush of the counts.
WAITING = -- --test-threads=8

# On the newest Envoy and on the oldest at once; the output of each comes at its end.
test/claims: $(WASM)
	@cargo test --locked --no-run --package plainsight-claims
	@$(MAKE) --jobs=2 --output-sync=target test/claims-$(NEWEST) test/claims-$(OLDEST)

test/claims-%: $(WASM)
	$(call envoy,$*) cargo test --locked --no-fail-fast --package plainsight-claims $(WAITING)

test/load: $(WASM)
	$(call envoy,$(NEWEST)) cargo test --locked --package plainsight-load $(WAITING)

test/cli:
	@tools/setup apt prometheus chromium
	cargo test --locked --package plainsight-cli

test/prometheus:
	@tools/setup apt prometheus
	@printf '%s\n' $(PROMETHEUS)/tests/*.yml | xargs --max-args=1 --max-procs="$$(nproc)" promtool test rules

test/grafana:
	@$(MAKE) gen/grafana-built
	@node --test $(GRAFANA)/build/test/*.test.js

test/image: $(WASM)
	@tools/setup apt docker-registry umoci skopeo
	PLAINSIGHT_WASM=$(WASM) python3 tools/image/test_image.py

test/bench: $(WASM) bench-filters
	@tools/setup apt wrk nghttp2-client
	$(call envoy,$(NEWEST)) cargo test --locked --package plainsight-bench

test/demo: $(WASM)
	@tools/setup apt prometheus
	@cargo build --quiet --locked --package plainsight-cli
	$(call envoy,$(NEWEST)) cargo test --locked --package plainsight-demo

# Parts of test-cluster

CHART_TEST = PLAINSIGHT_HELM="$(HELM_PROGRAMS)/helm" PLAINSIGHT_CHART="$$(ls $(CURDIR)/dist/plainsight-*.tgz)" \
	cargo test --locked --package plainsight-cluster

.PHONY: $(CLUSTER_TESTS:%=test-cluster/%)
# GOLDEN=write writes the golden files of integration/cluster/charts.
test-cluster/chart: chart
	@PLAINSIGHT_GOLDEN=$(GOLDEN) $(CHART_TEST) --test chart

test-cluster/workflows:
	@go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

test-cluster/cluster: $(WASM)
	@integration/cluster/run

# Parts of stress and docs, and their prerequisites

PROMETHEUS := envoy-config/prometheus

# The SDK's empty filter, for comparison with plainsight.
.PHONY: bench-filters $(STRESSES:%=stress/%) stress/soak-bare $(DOCS:%=docs/%)
bench-filters:
	@tools/setup wasm-target
	@target="$${CARGO_TARGET_DIR:-target}/bench-filters"; \
	cargo build --locked --quiet --release --manifest-path integration/bench/filters/Cargo.toml \
		--target wasm32-unknown-unknown --target-dir "$$target"; \
	mkdir -p dist/bench; cp "$$target"/wasm32-unknown-unknown/release/bench_empty.wasm dist/bench/

stress/soak: $(WASM)
	$(call envoy,$(NEWEST)) cargo run --locked --quiet --package plainsight-load -- soak $(MINUTES)

# The same load on an Envoy without plainsight, for comparison of the memory.
stress/soak-bare: $(WASM)
	$(call envoy,$(NEWEST)) cargo run --locked --quiet --package plainsight-load -- soak-bare $(MINUTES)

stress/attack: $(WASM)
	$(call envoy,$(NEWEST)) cargo run --locked --quiet --package plainsight-load -- attack $(ADDRESSES)

stress/faults: $(WASM)
	$(call envoy,$(NEWEST)) cargo run --locked --quiet --package plainsight-load -- faults

stress/hostile: $(WASM)
	PLAINSIGHT_WASM=$(abspath $(WASM)) cargo run --locked --quiet --package plainsight-wasm-host --bin hostile -- $(CASES) $(SEED)

docs/proof: $(WASM)
	@$(call envoy,$(NEWEST)) PLAINSIGHT_PROOF="$(CURDIR)/docs/proof.md" \
		cargo test --locked --package plainsight-claims --test proof -- --nocapture

docs/istio-proof: $(WASM)
	@PLAINSIGHT_ISTIO_PROOF=$(CURDIR)/docs/istio-proof.md integration/cluster/run --test mesh -- proof

docs/story: $(WASM)
	@PLAINSIGHT_STORY=$(CURDIR)/docs/story.md $(MAKE) demo-cluster KEEP=0

docs/matrix: $(WASM)
	@integration/run-matrix docs/matrix.md $(ENVOYS)

docs/dashboard:
	@tools/setup apt prometheus
	@$(MAKE) gen/grafana-built
	@node $(GRAFANA)/build/src/live.js docs/dashboard.svg

docs/report:
	@tools/setup apt prometheus chromium
	cargo test --locked --package plainsight-cli --test page -- --ignored picture

# The dashboard's source

GRAFANA := tools/grafana

# npm writes this file last. Installs Node and npm only if npm is missing.
$(GRAFANA)/node_modules/.package-lock.json: $(GRAFANA)/package.json $(GRAFANA)/package-lock.json
	@command -v npm >/dev/null || tools/setup apt nodejs npm
	@echo "grafana: installing the SDK and the compiler from package-lock.json"
	@cd $(GRAFANA) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(GRAFANA)/build/.compiled: $(GRAFANA)/node_modules/.package-lock.json $(GRAFANA)/tsconfig.json $(wildcard $(GRAFANA)/src/*.ts $(GRAFANA)/src/*/*.ts $(GRAFANA)/test/*.ts)
	@rm -rf $(GRAFANA)/build
	@cd $(GRAFANA) && node node_modules/typescript/bin/tsc -p .
	@touch $@

.PHONY: gen/grafana gen/grafana-built
gen/grafana-built: $(GRAFANA)/build/.compiled
gen/grafana: gen/grafana-built
	@node $(GRAFANA)/build/src/generate.js
