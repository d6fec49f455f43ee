# Everything sets itself up from Python >= 3.11 and make alone. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHAT := pyproject.toml collector/pyproject.toml constraints.txt examples/requirements.txt
export UV_NO_PROGRESS ?=

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
