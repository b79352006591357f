# Everything here works on a fresh machine with make and Python 3.11 or newer:
# each target first brings .venv up to date with pyproject.toml and constraints.txt.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	command -v $$name >/dev/null 2>&1 \
	&& $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$name; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := $(wildcard src tests sim bench examples)

# Narrow a run: make test TESTS=tests/machines PYTEST_ARGS="-k timer"
TESTS ?= tests
PYTEST_ARGS ?= -n auto

# Which random programs: make differential SEEDS=0:5000
SEEDS ?= 0:200

# Tests and benchmarks start many processes: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test tidy differential other-sdks check format format-check lint types bench bench-visibility clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     see workflows run, survive a crash, and finish"
	@echo "make test     run the tests          (TESTS=path, PYTEST_ARGS='-n auto')"
	@echo "make check    what CI runs: format, lint, types, differential, tests"
	@echo "make differential   random programs on the real server and on ours (SEEDS=0:200)"
	@echo "make other-sdks     a worker of the Go SDK on the real server and on ours (needs Go)"
	@echo "make format   format the code and apply safe fixes"
	@echo "make bench    measure against the real Temporal server"
	@echo "make bench-visibility   find workflows among a million (BENCH_ARGS='--executions 100000')"
	@echo "make clean    remove caches and the virtual environment"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (set PYTHON=...)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--no-build-isolation -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m examples.demo

test: $(STAMP)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) $(TESTS)

# Random programs on the real server and on ours. By itself, since the programs live in real time.
differential: $(STAMP)
	@$(BIN)/python -m tests.differential --seeds $(SEEDS)

# Not part of CI: compiling the Go SDK takes longer than all the rest of this.
other-sdks: $(STAMP)
	@$(BIN)/python -m tests.other_sdks

tidy: $(STAMP)
	@$(BIN)/python -m pytest -q tests/tidy

format-check: $(STAMP)
	@$(BIN)/ruff format --check $(CODE)

lint: $(STAMP)
	@$(BIN)/ruff check $(CODE)

types: $(STAMP)
	@$(BIN)/mypy $(CODE)

# One after the other, cheapest first, so that the tests' summary closes the output.
check: $(STAMP)
	@$(MAKE) --no-print-directory format-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory differential
	@$(MAKE) --no-print-directory test

format: $(STAMP)
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

# The other peers are optional: without them their rows say how to get them.
PEERS := .venv-bench/.installed

$(PEERS): bench/peers.txt
	-@$(PYTHON) -m venv .venv-bench \
		&& .venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@

bench: $(STAMP) $(PEERS)
	@$(BIN)/python -m bench $(BENCH_ARGS)

# A million workflows to find: filling takes some minutes.
bench-visibility: $(STAMP)
	@$(BIN)/python -m bench.visibility $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
