# Everything works from a fresh clone: each target makes the virtual environment that it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHONPATH := $(CURDIR)/proto:$(CURDIR)/core:$(CURDIR)/server:$(CURDIR)/agent:$(CURDIR)/attestors
export FINIAL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/finial
BENCH ?= ../shared/bench
BIN := .venv/bin
RUN := $(BIN)/python -m

.PHONY: help up test lint format bench proto proto-check rows fuzz mutants soak faults threats defects interop h2spec clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/run: pyproject.toml tools/venv.sh
	@tools/venv.sh run

.venv/dev: pyproject.toml tools/venv.sh
	@tools/venv.sh dev

up: .venv/run ## start a server, an agent and one identity here; Ctrl-C stops them
	@$(BIN)/finial up $(ARGS)

test: .venv/dev ## every test that needs no foreign build
	$(RUN) pytest -m "not interop and not soak" $(ARGS)

lint: .venv/dev ## ruff, mypy strict, import contracts, generated stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory proto-check

format: .venv/dev ## let ruff write the layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/dev ## the load harness in BENCH and our own; SPIRE beside it when FINIAL_PEERS is set
	@FINIAL_BIN=$(CURDIR)/$(BIN) BENCH=$(BENCH) $(RUN) tests.bench.run $(ARGS)

proto: .venv/dev ## generate the stubs from proto/
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python proto/generate.py

proto-check: .venv/dev ## fail when the committed stubs are not what proto/ gives
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python proto/generate.py --check

rows: .venv/dev ## each row of the SPIFFE checklist: its tests, and that they fail without its rule
	$(RUN) tests.conformance.table

fuzz: .venv/dev ## coverage-guided fuzzing of the parsers; SECONDS_EACH=60
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3,<4'
	$(RUN) tests.fuzz.run --seconds $(or $(SECONDS_EACH),60)

mutants: .venv/dev ## mutation testing of finial.spiffe and of the authorisation code
	$(RUN) tests.mutants.run $(ARGS)

soak: .venv/dev ## five minutes of 60 s SVIDs on the real clock
	$(RUN) pytest -m soak --timeout 900 $(ARGS)

faults: .venv/dev ## kill -9, full disk, garbage on every socket
	$(RUN) pytest tests/faults $(ARGS)

threats: .venv/dev ## what the threat model claims, and that its words are about code that exists
	$(RUN) pytest tests/threats $(ARGS)

defects: .venv/dev ## each known defect of such servers: its tests, and that they fail with it
	$(RUN) pytest tests/defects $(ARGS)

h2spec: .venv/dev ## HTTP/2 conformance over TCP and TLS by h2spec, which is built once
	$(RUN) pytest -m interop --timeout 600 tests/interop/h2spec $(ARGS)

interop: .venv/dev ## foreign programs; builds what Go serves, takes SPIRE's from FINIAL_PEERS
	$(RUN) pytest -m interop --timeout 600 $(ARGS)

clean: ## remove the virtual environment, caches and what `make up` made
	rm -rf .venv .finial .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
