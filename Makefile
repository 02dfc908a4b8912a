# Everything a person or a machine does with this tree. Needs Python 3.11+, make and coreutils.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
JSON ?=
ROWS ?=

.DEFAULT_GOAL := help
.PHONY: help demo up test test-interpreted soak check format bench-service bench-cpu clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## train a real model through the whole service, once
	@$(BIN)/python -m gradworks.demo

up: $(VENV)/.installed ## run the service on this machine until Ctrl-C
	@$(BIN)/gradworks up

test: $(VENV)/.installed-test ## run the whole test suite
	$(BIN)/python -m pytest -q -m "not soak"

test-interpreted: $(VENV)/.installed-test ## run the engine's tests as on a machine without a compiler
	GRADWORKS_COMPILER=none $(BIN)/python -m pytest -q -m "not soak" tests/engine \
		--ignore tests/engine/backend

soak: $(VENV)/.installed-test ## run the tests that take minutes
	$(BIN)/python -m pytest -q -m soak --timeout 3600

check: $(VENV)/.installed-dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## put the source in its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-service: $(VENV)/.installed-test ## measure the service; JSON=file keeps the figures
	$(BIN)/python -m benchmarks.service $(if $(JSON),--json $(JSON))

bench-cpu: $(BENCH)/.installed ## measure compiled steps beside PyTorch, JAX, onnxruntime; JSON=file
	$(BENCH)/bin/python -m benchmarks.cpu $(if $(JSON),--json $(JSON)) $(if $(ROWS),--rows $(ROWS))

clean: ## remove what the targets above made
	rm -rf $(VENV) $(BENCH) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python $(BENCH)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3'; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(BENCH)/.installed: pyproject.toml constraints.txt benchmarks/cpu/constraints.txt | $(BENCH)/bin/python
	$(BENCH)/bin/python -m pip install -q -c constraints.txt -c benchmarks/cpu/constraints.txt \
		-e . torch jax onnxruntime onnx
	@touch $@
