# espm: `make demo` shows it at work, `make test` proves it; both install what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest

# Without compiled modules each process of the tests would compile them for itself.
unexport PYTHONDONTWRITEBYTECODE

# What needs no quiet and no server but espm's own can run side by side, the fast of it in seconds.
BESIDE := not live and not postgresql and not timing
FAST := $(BESIDE) and not slow
PARALLEL := -q -n auto --dist worksteal

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: prerequisites $(READY) ## the life of a node, for real: Puppet Server, espm, puppet agent
	@$(BIN)/python -m tests.live.demo

.PHONY: test
test: prerequisites lint ## all tests, live ones included
	ESPM_TESTS_COMPLETE=1 $(PYTEST) -m "$(BESIDE)" $(PARALLEL)
	ESPM_TESTS_COMPLETE=1 $(PYTEST) -m "not ($(BESIDE))"

.PHONY: torture
torture: prerequisites lint ## every fault at its full count, for hours; writes docs/reliability.md
	@mkdir -p build && rm -f build/torture.jsonl
	ESPM_TORTURE=1 ESPM_TESTS_COMPLETE=1 ESPM_TORTURE_RESULTS=build/torture.jsonl \
	  $(PYTEST) -m torture -v -s; status=$$?; \
	$(BIN)/python -m tests.torture.table build/torture.jsonl && exit $$status

.PHONY: check
check: lint ## the fast part, in less than a minute: format, lint, types, contracts, unit and API tests
	$(PYTEST) -m "$(FAST)" $(PARALLEL) --hypothesis-profile=quick

.PHONY: lint
lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/bandit -q -c pyproject.toml -r espm espm_setup

.PHONY: format
format: $(READY) ## let ruff format the code and mend what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: bench
bench: prerequisites $(READY) ## measure: each figure beside its yardstick
	@$(if $(filter classes,$(or $(ONLY),classes)),sh tests/prerequisites.sh --modules,:)
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write)

.PHONY: docs
docs: $(READY) ## build the documentation in docs/_build
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

.PHONY: clean
clean: ## remove what was built here
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf *.egg-info .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: prerequisites
prerequisites:
	@sh tests/prerequisites.sh

$(READY): pyproject.toml setup.py
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV) || \
	  { sh tests/prerequisites.sh && $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing the Python packages into $(VENV); this takes about half a minute"
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
