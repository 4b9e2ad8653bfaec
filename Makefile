# Every target does the set-up it needs: on a new machine only Python 3.11 and make are required.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
WORKERS ?= 2
# Tests' homes lie in memory where there is room: a run on a small home waits for the disk most of the time.
TEST_TMP ?= $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 8000000 2>/dev/null && echo /dev/shm)
in_test_tmp = $(if $(TEST_TMP),@dir=$$(mktemp -d $(TEST_TMP)/crm-tests.XXXXXX); TMPDIR=$$dir $(1); \
	  code=$$?; rm -rf $$dir; exit $$code,$(1))
export CRM_HOME ?= $(CURDIR)/.crm
export DAGSTER_HOME := $(CRM_HOME)/dagster
export MLFLOW_DISABLE_TELEMETRY := true
export DAGSTER_DISABLE_TELEMETRY := true
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := false
# Bytecode is compiled once at set-up: it halves the start-up of every later command.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-slow check format dev bench docs lock clean
help:
	@echo "make demo   build everything on the demo company and say where to look"
	@echo "make test   the tests        make test-slow   the long ones too"
	@echo "make check  lint, types, SQL lint              make dev   the Dagster UI"
	@echo "make bench  speed and model benchmarks         make docs  the dbt documentation"
	@echo "make lock   refresh the lock (UPGRADE=--upgrade)        make clean remove .crm (all state)"

setup: $(VENV)/.ready dbt_project/target/manifest.json build/.vega

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q crm_pipeline ml
	@touch $@

# dbt's manifest is what Dagster's asset graph is made of; it is built when a dbt file changed.
dbt_project/target/manifest.json: $(VENV)/.ready $(shell find dbt_project -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.csv' \) -not -path '*/target/*' 2>/dev/null)
	@$(BIN)/python -m crm_pipeline.resources.dbt

# The report's drawing library: seconds to make, the same until vl-convert changes.
build/.vega: $(VENV)/.ready
	@$(BIN)/python -m crm_pipeline.report.bundle
	@touch $@

demo: setup
	@$(BIN)/crm demo

# Files, not tests, are dealt out: what a file makes for its tests is made once.
test: setup
	$(call in_test_tmp,$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder)

test-slow: setup
	$(call in_test_tmp,$(BIN)/python -m pytest -q -m slow)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/macros --disable-progress-bar
	$(BIN)/dg check defs

format: setup
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

dev: setup
	@mkdir -p $(DAGSTER_HOME) && cp dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p $${CRM_PORT:-3000}

bench: setup
	$(BIN)/python -m tests.benchmarks

docs: setup
	@$(BIN)/python -m crm_pipeline.defs.publication.questions
	@$(BIN)/python -m crm_pipeline.resources.dbt_docs

lock:
	$(BIN)/uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --all-extras --python-version 3.11 --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf .crm
