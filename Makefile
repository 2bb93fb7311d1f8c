# Everything a checkout can do, by name; `make help` lists it.
# Needs Python 3.11 or newer and make; the rest is installed into $(VENV) once.
#
#   PYTHON=python3.13   which Python to use instead of the first one that will do
#   VENV=.venv-3.13     where to install
#   INSTALLER=pip       install with pip alone, without uv

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

VENV ?= .venv
INSTALLER ?= uv
PY := $(VENV)/bin/python
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
ARGS ?=

ifneq ($(words $(VENV)),1)
$(error VENV is a name without spaces, as in VENV=.venv-3.13; it is "$(VENV)")
endif

# Without .pyc files every start of `flashcore` would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE
# Python and packages come from this machine and its package index, never from elsewhere.
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run test test-all test-lowest lint types docs bench format requirements clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

run: $(VENV)/.runtime  ## deploy a real app on this machine, call it, update it, show the answers
	@$(PY) examples/quickstart/tour.py $(ARGS)

setup: $(VENV)/.development  ## install what the other commands need
	@echo "ready in $(VENV)"

test: $(VENV)/.development  ## run the tests, but for the slow ones
	@$(PY) -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/.development  ## run all tests
	@$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

test-lowest: $(VENV)/.development  ## run the tests with the oldest dependencies that are allowed
	@[ -x $(VENV)-lowest/bin/python ] || $(PY) -m venv $(VENV)-lowest
	@$(PY) -m uv pip install -qq --python $(VENV)-lowest/bin/python --resolution lowest-direct \
	  -e '.[otel,testing,uv]' $(PLUGINS:%=-e ./%) --group test --group lint
	@$(VENV)-lowest/bin/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

lint: $(VENV)/.development  ## check style, format and which room imports which
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(VENV)/bin/lint-imports --no-logo

types: $(VENV)/.development  ## check types
	@$(PY) -m mypy src $(wildcard plugins/*/src tests examples benchmarks)
	@for folder in $(wildcard plugins/*/tests); do echo "$$folder"; $(PY) -m mypy "$$folder" || exit 1; done

docs: $(VENV)/.development  ## build the documentation into site/
	@$(PY) -m zensical build --clean --strict

bench: $(VENV)/.development  ## run the benchmarks
	@for file in benchmarks/bench_*.py; do $(PY) "$$file" || exit 1; done

format: $(VENV)/.development  ## put the code into its format
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

requirements: $(VENV)/.development  ## pin the newest dependencies in requirements/
	@$(PY) -m uv lock --quiet --upgrade
	@$(PY) -m uv export $(EXPORT) --no-default-groups --group build -o requirements/run.txt
	@$(PY) -m uv export $(EXPORT) --all-packages --extra testing --all-groups -o requirements/ci.txt

clean:  ## remove what was installed, built and cached
	rm -rf $(VENV) $(VENV)-lowest build dist site .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

EXPORT := --quiet --format requirements-txt --no-emit-workspace --no-header --no-annotate

# $(call install,FILE,PROJECTS): what FILE pins, then the projects of this checkout, editable.
# uv does not read pip's configuration; where only pip knows the package index, pip does it.
define install
	@if [ "$(INSTALLER)" = uv ] && $(PY) -m uv --version >/dev/null 2>&1 \
	    && $(PY) -m uv pip install -qq --compile-bytecode --python $(PY) --require-hashes -r $(1) \
	    && $(PY) -m uv pip install -qq --python $(PY) --no-build-isolation --no-deps $(2:%=-e ./%); then :; \
	else \
	  echo "installing with pip"; \
	  $(PY) -m pip install -qq --require-hashes -r $(1) \
	    && $(PY) -m pip install -qq --no-build-isolation --no-deps $(2:%=-e ./%); \
	fi
endef

$(VENV)/.runtime: requirements/run.txt pyproject.toml | $(VENV)/.installer
	@echo "installing flashcore into $(VENV)"
	$(call install,requirements/run.txt,.)
	@touch $@

# The newer runtime stamp spares `make run` an installation of its own.
$(VENV)/.development: requirements/ci.txt requirements/run.txt $(PROJECTS) | $(VENV)/.installer
	@echo "installing flashcore, its plugins and the development tools into $(VENV)"
	$(call install,requirements/ci.txt,. $(PLUGINS))
	@touch $(VENV)/.runtime $@

$(VENV)/.installer:
	@set -e; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "flashcore needs Python 3.11 or newer with its venv module; tried: $(or $(PYTHON),python3 and python3.11 to python3.14)." >&2; \
	  echo "Install one (on Debian: apt-get install python3 python3-venv), or say which: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV)
	@[ "$(INSTALLER)" != uv ] || $(PY) -m pip install -qq "uv>=0.9" || echo "uv cannot be had here: pip will do"
	@touch $@
