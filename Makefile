# Every line is a command that one may type as well. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Tests run in parallel, and wait for much of their time: twice as many as CI has cores.
JOBS ?= 4
RUNS ?= 200

.DEFAULT_GOAL := help
.PHONY: help demo setup test long check lint types layers spelling format bench bench-full docs fuzz soak build clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1\t/p' Makefile | expand -t 12

demo: $(VENV)/.demo ## the main job: an IOC, a pipe on it, an HDF5 file, a new PV; under a minute
	$(BIN)/python examples/demo.py

setup: $(VENV)/.setup ## an editable install with every tool and the tests' EPICS servers

test: $(VENV)/.setup ## all tests, against real EPICS servers and clients
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

long: $(VENV)/.setup ## tests that take minutes each, or need root: network namespaces, a minute at 1 kHz
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m long

check: lint types layers spelling test ## what CI runs

lint: $(VENV)/.setup ## style; rewrites nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.setup ## the type checker
	$(BIN)/mypy

layers: $(VENV)/.setup ## launch knows actors, actors know the broker, never back
	$(BIN)/lint-imports

spelling: $(VENV)/.setup ## spelling in code and docs
	$(BIN)/codespell

format: $(VENV)/.setup ## rewrite what the style asks for
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.setup ## speed, as ratios against peers in the same run: a few minutes
	$(BIN)/python -m benchmarks

bench-full: $(VENV)/.setup ## the same, medians of five long runs, and the scans: half an hour
	$(BIN)/python -m benchmarks --full

soak: $(VENV)/.setup ## 200 runs disturbed at random: half an hour to an hour; RUNS=20 for fewer
	$(BIN)/python -m tests.chaos --runs $(RUNS) --jobs 2

fuzz: $(VENV)/.setup ## hostile messages at random for a minute; FUZZ_SECONDS=600 for longer
	$(BIN)/python -m tests.fuzz_wire $(or $(FUZZ_SECONDS),60)

docs: $(VENV)/.docs ## the documentation as a site in build/site, and its pages made from the code
	$(BIN)/python -m caspy.manual docs/processors
	$(BIN)/python -m sphinx -q -W --keep-going docs build/site

build: $(VENV)/.setup ## sdist and wheel in dist/
	$(PIP) build
	$(BIN)/python -m build --outdir dist

clean: ## remove what make has made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "caspy needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory debian-venv
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml
	$(PIP) --editable '.[epics,hdf5]'
	@touch $@

$(VENV)/.setup: $(VENV)/.venv pyproject.toml
	$(PIP) --editable '.[bluesky,compression,epics,eval,hdf5,libca,links,metrics,ophyd,plot,pva,tango,tiff,top,web,zarr]' --group dev --group servers
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.setup
	$(PIP) --group docs
	@touch $@

# Debian packs venv apart from Python.
.PHONY: debian-venv
debian-venv:
	@if [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; \
	else \
	  echo "Python's venv module is missing. As root: apt-get install python3-venv"; exit 1; \
	fi
