# People and CI call these, nothing else. Everything installs itself into .venv on first use.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check test test-fast demo up down bench lock preflight disk-space

UV_VERSION := 0.13.8
# The first interpreter that is there and new enough; if none is, preflight says so.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done || true)
PYTHON := $(or $(PYTHON),python3)
BIN := .venv/bin
READY := .venv/ready
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH
export PYTHONUTF8 := 1
# The machine's certificates, as pip uses: behind a proxy uv's own do not do.
export UV_SYSTEM_CERTS := 1

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

preflight:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11, 3.12 or 3.13 is required and no python3 was found. Install it (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) titleholder/preflight.py

disk-space: preflight
	@$(PYTHON) titleholder/preflight.py --disk-gb 6

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@$(MAKE) --no-print-directory disk-space
	@echo "installing into .venv (once; about 1.7 GB, a minute or two)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.txt -r requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

setup: $(READY)  ## install everything into .venv

check: setup  ## linter, types, import contracts, use-case files
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/titleholder doctor --files

test: setup preflight  ## all tests, the end-to-end ones on the real engines included
	@$(BIN)/python -m pytest -n 3 --no-loadscope-reorder --durations=10 $(ARGS)

test-fast: setup  ## the tests that need neither Spark nor a server
	@$(BIN)/python -m pytest -n 2 --no-loadscope-reorder --durations=10 -m "not jvm and not servers and not e2e" $(ARGS)

demo: setup preflight  ## the whole loop on generated data, or on real daily files with DATA=<folder>; KEEP=1 leaves it up
	@$(BIN)/titleholder demo $(if $(DATA),--data "$(DATA)") $(if $(KEEP),--keep)

up: setup preflight  ## start everything on this machine: Airflow, MLflow, Spark, the endpoint
	@$(BIN)/titleholder up

down: setup  ## end everything that `up` or `demo` left running
	@$(BIN)/titleholder down

bench: setup  ## all benchmarks, results in build/bench/; one of them: make bench-gate, one part: make bench-gate-power
	@$(BIN)/python -m benchmarks

bench-%: setup
	@$(BIN)/python -m benchmarks $*

lock: setup  ## resolve requirements*.in again
	@for name in requirements requirements-dev docker/requirements-production serving/requirements mlflow/requirements; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
			$$name.in -o $$name.txt || exit 1; done
