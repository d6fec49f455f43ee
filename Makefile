# Everything sets itself up from Python >= 3.11 and make alone. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes that run tests: most of their time is waiting.
PROCESSES ?= 2
WHAT := pyproject.toml collector/pyproject.toml constraints.txt examples/requirements.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench format clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## install everything into .venv, nothing else

$(STAMP): $(WHAT)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "otel-cx needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Set PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/python || { echo "==> creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@test -x $(BIN)/uv || { echo "==> installing uv"; $(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^uv==' constraints.txt)"; }
	@echo "==> installing otel-cx, the collector, the example platform and the tools"
	@$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt \
		--editable '.[sdk]' --editable './collector[embedded]' --requirement examples/requirements.txt --group dev
	@touch $@

.PHONY: web
web: $(STAMP) ## build the pages' scripts and styles, when their sources changed
	@$(BIN)/python collector/hatch_build.py

demo: $(STAMP) web ## collector, example hosting platform with real traffic, and the page
	@$(BIN)/python -m examples.hosting.demo $(ARGS)

test: $(STAMP) web ## all tests; what is left out for want of a tool is said at the end
	@$(BIN)/pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(STAMP) web ## format, lint, types, the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## the benchmarks; bench/README.md says what each figure means
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group bench
	@$(BIN)/pytest bench --benchmark-only --benchmark-columns=min,median,iqr,rounds $(ARGS)

format: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove what was built, not .venv
	rm -rf .demo dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
