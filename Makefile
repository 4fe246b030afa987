# What there is to do with this project. It takes make and Python 3.11 or newer, nothing else:
# everything lives in .venv, installed from a lock with hashes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input install
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet \
	--no-strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links

# The caller's own settings must steer neither the tests nor the demonstration; the system is the caller's own.
ifeq (,$(filter up,$(MAKECMDGOALS)))
unexport $(filter-out DBACKUP_TEST_CACHE,$(filter DBACKUP_% PREFECT_%,$(.VARIABLES)))
endif

# Hundreds of processes begin in the tests: none of them is to compile again what the one before it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv up demo servers test check bench screenshots format lock clean

help:
	@echo 'make demo     back up, verify, restore and compare a sample database; SOURCE=postgresql://... takes a real one'
	@echo 'make up       run the whole system of your home: server, queue, worker, pages, until Ctrl-C'
	@echo 'make test     start real servers and run every test; ARGS=... goes to pytest'
	@echo 'make servers  only install the servers and tools that the tests start'
	@echo 'make check    style, types, layers and locks'
	@echo 'make bench    measure against pg_dump, zstd, age and gzip; ARGS=... goes to the benchmark'
	@echo 'make screenshots  a picture of every page of the dashboard, into docs/pictures'
	@echo 'make venv     only make the environment in $(VENV); PYTHON=python3.12 chooses the interpreter'
	@echo 'make format   put the code into its style'
	@echo 'make lock     resolve the dependencies again (needs uv)'
	@echo 'make clean    remove the environment and everything that was generated'

venv: $(VENV)/.development

# A source with a password travels in the environment: argument lists are visible to everybody.
demo: export DBACKUP_DEMO_SOURCE = $(value SOURCE)
demo: $(VENV)/.runtime
	@$(BIN)/python -m cli.demo

up: $(VENV)/.runtime
	@exec $(BIN)/dbackup up

servers: $(VENV)/.development
	@$(BIN)/python -m tests.servers.install

test: servers
	@$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/test_house.py

bench: servers
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: servers
	@$(BIN)/python -m tests.dashboard.screenshots

format: $(VENV)/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv: install it with: pipx install uv'; exit 1; }
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .demo .bench .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ------------------------------------------------------------------------------------------
# Each stamp is written last, so that whatever was interrupted is done again. A lock is whole: pip resolves nothing anew,
# for it would take a version beside the pinned one into account and then refuse it for want of a hash.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'dbackup needs Python 3.11 or newer. Name one: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) venv-module
	@echo 'Making $(VENV) with '"$$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml $(VENV)/.created
	@echo 'Installing what the program needs (requirements.lock)'
	@$(PIP) --require-hashes --no-deps -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	@echo 'Installing what its development needs (requirements-dev.lock)'
	@$(PIP) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# Debian keeps a part of the standard library in a package of its own.
.PHONY: venv-module
venv-module: package = $(shell $(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
venv-module:
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		|| { echo '$(PYTHON) cannot make environments. On Debian, as root: apt-get install $(package)'; exit 1; }
	@echo 'Installing $(package)'
	@apt-get -qq update
	@DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(package) >/dev/null
