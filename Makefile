# The two commands of the README: `make quickstart` and `make test`. Each makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint docs format release clean

quickstart: $(VENV)/.ready
	$(BIN)/sparsegpt2 quickstart

test: lint docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, into build/site. A page that is in no menu, a dead link and a name that cannot be found are errors.
docs: $(VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What others install: the wheel, the source archive, and the folder that `sparsegpt2 zoo --get` fetches from. An old
# build folder goes first: setuptools puts all that lies in it into the wheel.
release: $(VENV)/.ready
	rm -rf build dist
	$(BIN)/python -c 'from setuptools import build_meta as b; b.build_wheel("dist"); b.build_sdist("dist")'
	$(BIN)/sparsegpt2 zoo --release dist/zoo

# Pinned versions first, torch before the packages that would otherwise choose one of their own.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsegpt2 needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
