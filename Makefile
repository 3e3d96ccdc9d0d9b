# Colony: `make demo` shows it, `make test` checks it. Both make .venv/ first, once; nothing outside this folder changes.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV   := .venv
IN     := PATH="$(CURDIR)/bin:$(CURDIR)/$(VENV)/bin:$$PATH"
PIP    := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check
TESTS  ?=
BENCH  ?=
PEERS  ?=
LONG   ?= 8

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check docs bench bench-peers clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.for-use ## three real days of 2013 through the pipeline of examples/data-pipeline
	@$(IN) $(VENV)/bin/python examples/data-pipeline/demo.py

test: check ## style, types and every test; TESTS='tests/base -x' gives pytest other words
	@$(IN) $(VENV)/bin/python -m pytest -n auto $(TESTS)

test-long: $(VENV)/.for-work ## faults at every eighth point of a run and of each command, and ten million rows; LONG=1 for every point
	@$(IN) COLONY_TEST_LONG=$(LONG) $(VENV)/bin/python -m pytest -n auto tests/faults tests/races tests/data/test_ten_million.py $(TESTS)

check: $(VENV)/.for-work ## style and types only
	@$(IN) ruff check .
	@$(IN) mypy

docs: $(VENV)/.for-use ## make the README's command reference anew
	@$(IN) $(VENV)/bin/python tests/docs/reference.py

bench: $(VENV)/.for-work ## how fast it is, as ratios; BENCH='run chain --quick' measures less, BENCH=--write keeps it
	@$(IN) $(VENV)/bin/python -m tests.bench $(BENCH)

bench-peers: $(VENV)/.for-work ## how fast others are at the same; PEERS='doit ninja' measures only these
	@$(IN) $(VENV)/bin/python -m tests.bench.peers $(PEERS)

clean: ## remove what the demo, the tests and the tools have left
	@$(MAKE) --no-print-directory -C examples clean
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv/ too
	rm -rf $(VENV)

# Two marks in the environment: one says that Colony can run from it, the other that it can be worked on.
$(VENV)/.for-use: pyproject.toml | $(VENV)/bin/python
	@echo "Installing what Colony needs into $(VENV)/, once: this may take a minute."
	$(PIP) --config-settings editable_mode=compat --editable '.[all]'
	@$(VENV)/bin/python -m compileall -q colony_lib
	@touch $@

$(VENV)/.for-work: pyproject.toml | $(VENV)/bin/python
	@echo "Installing what Colony needs into $(VENV)/, once: this may take a minute."
	$(PIP) --config-settings editable_mode=compat --editable '.[all,dev]'
	@$(VENV)/bin/python -m compileall -q colony_lib
	@touch $(VENV)/.for-use $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "make: Colony needs Python 3.11 or newer; name one with 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "make: $(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
