# setup | demo | test | check | test-all | bench | docs
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
# tests wait for disks and for processes of their own: one worker more than there are cores
TESTERS ?= 3
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.develops
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

# many an image of a machine forbids bytecode; then each process of the tests compiles the whole harness anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check test-all bench docs

# what a user needs: the package and its libraries
$(RUNS): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some minutes, about 6 GB (torch with its CUDA libraries)"
	$(INSTALL) .
	touch $@

# and what a developer needs
$(STAMP): $(RUNS)
	$(INSTALL) '.[dev]'
	touch $@

setup: $(STAMP)
	@echo "ready: . $(VENV)/bin/activate && dermae-bench doctor"

demo: $(RUNS)
	$(BIN)/dermae-bench run suites/quickstart.yaml -j $(JOBS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadgroup

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell

# a worker that has nothing left takes from the other's queue: the long tests lie side by side in a few files
test-all: $(STAMP)
	$(BIN)/python -m pytest -m 'not gpu and not weights and not slurm and not ray and not bench' -n $(JOBS) --dist worksteal --durations 20

bench: $(STAMP)
	$(BIN)/python -m pytest tests/bench -m bench --benchmark-columns median,min,max,rounds --benchmark-sort name

docs: $(STAMP)
	$(BIN)/python docs/make_docs.py
