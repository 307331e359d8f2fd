# One command for each thing that people do here. `make help` lists them; continuous integration calls nothing else.

# The first Python of 3.11 or newer; PYTHON=... picks another one.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
# KEEP=0 lets the demo end by itself, and tidy up.
KEEP ?= 1
# Which of the web samples make run runs: items or chat.
SAMPLE ?= items
# What pytest should run, and how: make test TESTS=tests/unit
TESTS ?=
# How many examples hypothesis tries: some, or all of them, as in CI: make test EXAMPLES=all
EXAMPLES ?= some
export EXAMPLES
# What should be measured, and not all that takes minutes: make bench BENCH=latency
BENCH ?=
# How many kills make chaos does, and the seed of its choices: make chaos KILLS=1000 SEED=7
KILLS ?= 100
SEED ?=
# How long make fuzz looks, all targets together.
SECONDS ?= 60
# Whom make conformance asks: eventflow or moto.
PEER ?= eventflow

.PHONY: all demo run test test-slow test-again test-browser setup-browser chaos chaos-services conformance fuzz check bench setup-bench format help
.DELETE_ON_ERROR:
# Compiled modules are kept, whatever the shell says: without them each process of the tests compiles its own anew, and each of pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

all: check test ## Everything that does not take long: checks and tests (the default)

demo: $(VENV)/.with-demo ## Run the thumbnail sample on a dozen photographs; KEEP=0 ends by itself
	@KEEP=$(KEEP) $(BIN)/python samples/thumbnails/demo.py

run: $(VENV)/.with-gateway ## Run a web sample, then open http://127.0.0.1:8080/: make run SAMPLE=chat
	@$(BIN)/eventflow run samples/$(SAMPLE)/app.py

test: $(VENV)/.with-test ## Run the tests, several at a time
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(TESTS)

test-slow: $(VENV)/.with-test ## Run the tests that take longer than a few seconds
	@$(BIN)/python -m pytest -m slow --numprocesses auto --dist worksteal $(TESTS)

test-again: $(VENV)/.with-test ## Run the tests that failed in the last run once more, one at a time
	@$(BIN)/python -m pytest -v -m '' --last-failed --last-failed-no-failures none

test-browser: $(VENV)/.with-browser ## Use the samples' pages in headless Chromium (make setup-browser), as people would; screenshots are in test-artefacts/browser
	@$(BIN)/python -m pytest -m browser tests/browser

setup-browser: ## Install the browser of the browser tests: Chromium, by apt
	@command -v chromium >/dev/null || { $(if $(filter 0,$(shell id -u)),,sudo) apt-get update && \
		$(if $(filter 0,$(shell id -u)),,sudo) apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; }

chaos: $(VENV)/.with-test ## Kill everything at every step under load, and count what was lost; KILLS=1000 for long, SEED=7 to repeat
	@$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

conformance: $(VENV)/.with-test ## Run the conformance tests of the AWS services; PEER=moto runs them against moto's server
	@$(BIN)/python -m pytest -m '' tests/aws/conformance --peer=$(PEER)

chaos-services: $(VENV)/.with-test ## Kill the daemon in the middle of writes to its AWS services; KILLS=1000 for long, SEED=7 to repeat
	@$(BIN)/python -m tests.chaos.services --kills $(KILLS) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.with-fuzz ## Feed the readers of requests what atheris comes up with, for SECONDS=60
	@$(BIN)/python -m tests.fuzz $(SECONDS)

check: $(VENV)/.with-check ## Check format, lint, types and import contracts
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@for sample in samples/*/; do MYPYPATH="$$sample" $(BIN)/mypy "$$sample" || exit 1; done
	@PYTHONPATH=. $(BIN)/lint-imports

bench: $(VENV)/.with-bench ## Measure throughput and latency
	@$(BIN)/python -m benchmarks $(BENCH)

setup-bench: $(VENV)/.made ## Install what the benchmarks compare with: wrk and Redis by apt, MiniStack and Chalice by pip, the others by npm
	@$(if $(filter 0,$(shell id -u)),,sudo) apt-get install --yes wrk redis-server
	@$(PYTHON) -m venv $(VENV)/peers/ministack
	@$(VENV)/peers/ministack/bin/python -m pip install --quiet --disable-pip-version-check ministack
	@$(PYTHON) -m venv $(VENV)/peers/chalice
	@$(VENV)/peers/chalice/bin/python -m pip install --quiet --disable-pip-version-check chalice
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/peers/node dynalite@4.0.0 s3rver@3.7.1; \
	npm install --silent --no-audit --no-fund --prefix $(VENV)/peers/serverless serverless@3.40.0 serverless-offline@13.9.0; \
	else echo "npm is not there: dynalite, s3rver and serverless-offline are left out of the comparison"; fi

format: $(VENV)/.with-check ## Format the code, and mend what lint can mend
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' Makefile | while IFS='	' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

# The virtual environment, and what each task needs in it: installed once, and again when these files change.

$(VENV)/.with-%: pyproject.toml constraints.txt $(VENV)/.made
	@echo "Installing eventflow and what '$*' needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "eventflow needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv. Then run make again." >&2; exit 1; }
	@echo "Creating the virtual environment $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@
