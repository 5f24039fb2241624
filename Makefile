# Every task a person runs. `make help` lists them; each part keeps its targets in make/<part>.mk.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ENVOY_NEWEST := 1.40.0
ENVOY_OLDEST := 1.36.2

# Here and not in make/build.mk: make reads the files of make/ in turn, and a target's prerequisites at once.
WASM := dist/plainsight.wasm

include $(sort $(wildcard make/*.mk))

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## /{printf "  %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort
