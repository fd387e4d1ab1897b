# Everything runs in .venv, which `make setup` makes with nothing but Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench fmt lint types imports cov golden docs lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Install wa-hooks and its tools into .venv

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wa-hooks needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: setup ## Receive signed webhooks, process them, show the log and a lead's timeline
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

test: setup ## Run the whole test suite
	$(BIN)/python -m pytest

check: setup lint types imports cov ## What CI runs
	$(BIN)/wa-hooks check fixtures --strict

fmt: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

cov: setup ## Run the test suite with the coverage floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: setup ## Measure side by side with other receivers, and write docs/benchmarks.md; QUICK=1: short, and print it
	$(BIN)/python tests/bench_peers.py $(if $(QUICK),--quick)

golden: setup ## Write the expected results of the fixtures and of the command line anew; the diff is the review
	$(BIN)/wa-hooks check fixtures --update
	WA_HOOKS_GOLDEN=update $(BIN)/python -m pytest -q tests/test_golden.py tests/test_docs.py

docs: setup ## Write docs/cli.md anew
	WA_HOOKS_GOLDEN=update $(BIN)/python -m pytest -q tests/test_docs.py

lock: setup ## Resolve the dependencies anew into requirements.lock
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
	  --no-emit-index-url --no-header pyproject.toml -o requirements.lock

clean: ## Remove what was made
	rm -rf .venv .demo .parts build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
