# `make` alone lists the targets. Each sets up what it needs in $(VENV), once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
# The interpreter $(VENV) is made from; empty takes the first one that is new enough.
PYTHON ?=
# Arguments of the command behind serve, chat, test, bench and gpu-check.
ARGS ?=

# Trying a clone out leaves the conversations of an installed server alone.
export RWKV_SERVER_DATA_DIR ?= $(CURDIR)/.data

# Where no process may keep what Python compiled, each one that starts compiles all of torch again.
unexport PYTHONDONTWRITEBYTECODE

# A process for each core, but no more than memory allows on large machines; files stay together,
# as their tests share servers. ARGS="-n 0" runs all in one.
WORKERS := -n auto --maxprocesses 4 --dist loadfile

BIN := $(VENV)/bin
# The clients that tests drive, some of which need other versions of what the server needs.
CLIENTS := $(VENV)-clients
# Python compiles what it imports; compiling all of torch beforehand would double the wait.
PIP := $(BIN)/python -m pip install --no-compile --disable-pip-version-check -c constraints.txt
LOCK := pyproject.toml constraints.txt hatch_build.py
NATIVE := $(wildcard models/native/src/*) models/native/build.py

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done
	@echo
	@echo '  Arguments go in ARGS: make serve ARGS="--port 9000"'

.PHONY: serve
serve: $(VENV)/.native ## Start the server with the bundled model
	@echo "==> rwkv-server serve $(ARGS)"
	@exec $(BIN)/rwkv-server serve $(ARGS)

.PHONY: chat
chat: $(VENV)/.native ## Chat in the terminal
	@exec $(BIN)/rwkv-server chat $(ARGS)

.PHONY: setup
setup: $(VENV)/.develop $(VENV)/.native $(CLIENTS)/.ready ## Set up everything that development needs

.PHONY: test
test: $(VENV)/.develop $(VENV)/.native $(CLIENTS)/.ready ## Run the tests, on several cores
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

.PHONY: soak
soak: $(VENV)/.develop $(VENV)/.native ## Kill a server, and leave it, many times; see what is left
	SOAK_KILLS=100 SOAK_TURNS=30 DISCONNECTS=10000 CONVERSATIONS=10000 $(BIN)/python -m pytest \
		tests/server/test_kills.py tests/server/test_disconnects.py \
		tests/server/test_left_streams.py tests/server/session/test_budgets.py \
		-o faulthandler_timeout=0 $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.develop $(VENV)/.native ## Send random requests, for half an hour or more
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(BIN)/python -m pytest tests/fuzz \
		$(WORKERS) --dist load -o faulthandler_timeout=0 $(ARGS)

.PHONY: clients
clients: $(CLIENTS)/.ready ## Install the clients that tests drive

.PHONY: lint
lint: $(VENV)/.develop ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/mypy
	$(BIN)/lint-imports

# What takes longest to install is installed at once.
.PHONY: check
check: ## Everything CI checks: lint, then test
	@$(MAKE) --silent -j2 $(VENV)/.develop $(CLIENTS)/.ready
	@$(MAKE) --no-print-directory lint test

.PHONY: format
format: $(VENV)/.develop ## Repair format and lint where it can be done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(VENV)/.runtime ## Rewrite config.toml and docs/config.md from the schema
	$(BIN)/python -m server.config .

.PHONY: bench
bench: $(VENV)/.native ## Measure speed and memory
	@exec $(BIN)/rwkv-server bench $(ARGS)

# Machines with a GPU often bring a Python with CUDA's torch and no network: the first interpreter
# that has all it takes is used as it is, and $(VENV) is set up only when there is none.
.PHONY: gpu-check
gpu-check: ## Run the tests that need a CUDA GPU
	@for python in $(BIN)/python $(PYTHON) python3; do \
		if "$$python" -c '$(GPU_PROBE)' 2>/dev/null; then \
			echo "==> tests/gpu with $$python"; \
			exec "$$python" $(GPU_TESTS) $(ARGS); \
		fi; \
	done; \
	echo "==> no Python here has torch with a CUDA GPU; trying $(VENV)"; \
	$(MAKE) --no-print-directory $(VENV)/.develop; \
	$(BIN)/python -c '$(GPU_PROBE)' || \
		{ echo "gpu-check needs a CUDA GPU, and torch in $(VENV) sees none." >&2; exit 1; }; \
	exec $(BIN)/python $(GPU_TESTS) $(ARGS)

GPU_PROBE := import numpy, pytest, safetensors, tokenizers, torch; assert torch.cuda.is_available()
# The plugins and helpers of the other tests may be missing there, and with them known settings.
GPU_TESTS := -m pytest tests/gpu --confcutdir=tests/gpu -o addopts=--import-mode=importlib \
	-W ignore::pytest.PytestConfigWarning

.PHONY: sanitize
sanitize: $(VENV)/.develop ## Run the native library under sanitizers
	$(BIN)/python -m tests.models.native.sanitize

.PHONY: arm-check
arm-check: $(VENV)/.develop $(VENV)/.native ## Compile the native library for ARM and run it in an emulator
	@for program in aarch64-linux-gnu-g++ qemu-aarch64-static; do \
		command -v $$program > /dev/null || \
			{ echo "arm-check needs $$program: install g++-aarch64-linux-gnu and qemu-user-static." >&2; exit 1; }; \
	done
	$(BIN)/python -m pytest tests/arm --confcutdir=tests/arm -o faulthandler_timeout=0 $(ARGS)

.PHONY: lock
lock: $(VENV)/.develop ## Rewrite constraints.txt from what is installed
	@{ sed '/^[^#]/,$$d' constraints.txt; \
		$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//'; \
	} > constraints.new
	@mv constraints.new constraints.txt
	@echo "==> constraints.txt: $$(grep -c == constraints.txt) packages"

.PHONY: clean
clean: ## Delete the environment, caches and builds
	rm -rf $(VENV) $(CLIENTS) tests/clients/node/node_modules build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$python" -c '$(PYTHON_PROBE)' 2>/dev/null; then \
			echo "==> creating $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv "$(VENV)"; \
			exit; \
		fi; \
	done; \
	echo "No Python 3.11 or newer with the venv module was found: install python3 and python3-venv, or name one with make PYTHON=/path/to/python3." >&2; \
	exit 1

PYTHON_PROBE := import ensurepip, sys, venv; assert sys.version_info >= (3, 11)

$(VENV)/.runtime: $(LOCK) | $(VENV)/bin/python
	@echo "==> installing rwkv-server into $(VENV), once (torch is large: this can take minutes)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.develop: $(LOCK) | $(VENV)/bin/python
	@echo "==> installing rwkv-server and its tools into $(VENV), once (torch is large: this can take minutes)"
	@$(PIP) -e '.[test,dev]'
	@touch $(VENV)/.runtime $@

$(CLIENTS)/.ready: tests/clients/requirements.txt tests/clients/node/package-lock.json | $(VENV)/bin/python
	@echo "==> installing the clients that tests drive into $(CLIENTS), once"
	@$(BIN)/python -m venv "$(CLIENTS)"
	@$(CLIENTS)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check \
		-r tests/clients/requirements.txt
	@PATH="$(abspath $(CLIENTS))/bin:$$PATH" npm ci --prefix tests/clients/node \
		--no-audit --no-fund --loglevel=error
	@touch $@

# The installation compiles the native library too; this does so again when its sources change.
$(VENV)/.native: $(NATIVE) | $(VENV)/.runtime
	@$(BIN)/python -m models.native.build || echo "==> bf16 will run on torch, which is slower, and int8 not at all" >&2
	@touch $@
