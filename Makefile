# What a newcomer types. Needs Python 3.11 or newer (with venv) and Node with npm; the rest is
# fetched from the lock files into .venv and node_modules.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# Python to build .venv with; empty: scripts/setup.sh looks for a fitting one.
PYTHON ?=
# Parallel test processes (three keep two cores busy: each waits for a chain now and then), and further arguments for pytest: make test PYTEST_ARGS="-k reorg".
WORKERS ?= 3
PYTEST_ARGS ?=
SHELL_SCRIPTS := scripts/setup.sh scripts/lock.sh scripts/in_memory.sh .ci/run

export PYTHON

.PHONY: help setup setup-tests demo test bench lint format lock clean distclean

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## .venv and node_modules, as the lock files say (does nothing when they are current)
	@scripts/setup.sh

setup-tests: setup
	@scripts/setup.sh --test-tools

demo: setup  ## the whole product on this machine, once round
	@$(BIN)/bursar demo --once

# Byte code is kept even where the environment says not to: else each of the hundred processes that
# the tests start would compile the product anew.
test: setup-tests  ## every test
	@PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/.tools/usr/bin:$$PATH" scripts/in_memory.sh $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
	  $(PYTEST_ARGS)

bench: setup  ## benchmarks: a table, and benchmarks/results.json
	@$(BIN)/python -m benchmarks

lint: setup  ## style, types, Dockerfile, shell scripts; changes nothing
	@failed=; \
	$(BIN)/ruff check . || failed+=" ruff-check"; \
	$(BIN)/ruff format --check . || failed+=" ruff-format"; \
	$(BIN)/mypy || failed+=" mypy"; \
	for tool in "hadolint Dockerfile" "shellcheck $(SHELL_SCRIPTS)"; do \
	  name=$${tool%% *}; \
	  if ! [ -x $(BIN)/$$name ]; then echo "$$name: skipped, no build of it for this platform"; \
	  elif $(BIN)/$$tool; then echo "$$name: clean"; \
	  else failed+=" $$name"; fi; \
	done; \
	if [ -n "$$failed" ]; then echo "lint: failed:$$failed" >&2; exit 1; fi

format: setup  ## put the sources into the common form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: setup  ## requirements.lock and package-lock.json anew (UPGRADE=1: newest versions)
	@scripts/lock.sh

clean:  ## caches and build products
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	@find . \( -name node_modules -o -name .venv -o -name .git \) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## .venv and node_modules too
	@rm -rf .venv .tools node_modules
