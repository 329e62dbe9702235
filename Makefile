# setup | demo | test | check | test-all | bench | docs
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
STAMP := $(VENV)/.installed

.PHONY: setup demo test check test-all bench docs

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/dermae-bench run suites/quickstart.yaml -j $(JOBS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

test-all: $(STAMP)
	$(BIN)/python -m pytest -m 'not gpu and not weights and not slurm and not ray and not bench' -n $(JOBS) --durations 20

bench: $(STAMP)
	$(BIN)/python -m pytest tests/bench -m bench --benchmark-columns median,min,max,rounds --benchmark-sort name

docs: $(STAMP)
	$(BIN)/python docs/make_docs.py
