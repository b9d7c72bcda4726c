# Two commands matter: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
MANAGE := $(PY) manage.py
# Browsers and real processes share the machine with whatever else runs: what failed is tried once more, alone, and both runs are shown.
ONCE_MORE := $(PY) -m pytest --last-failed --last-failed-no-failures none
UNIT := -m "not postgres and not browser and not story"

.DEFAULT_GOAL := help
.PHONY: help machine run test check setup install install-dev lint security types floors templates migrations-check unit postgres browser story soak bench-ledger bench-registry bench-pages lock format clean openapi

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

run: setup ## set everything up, tell the main job on real data once, keep the portal running
	@$(MANAGE) run --story

test: install-dev lint security types floors templates migrations-check unit postgres browser story ## set up what is missing and run every check and test

check: test ## the same as `make test`: exactly what CI runs

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Countersign needs Python 3.11 or newer; set PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv) and try again."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.base: $(BIN)/uv requirements/base.txt pyproject.toml client/pyproject.toml
	@echo "Installing the locked dependencies …"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/base.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e . -e client
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.base ## the virtual environment with what the product needs
install-dev: $(VENV)/.dev ## … and with what its tests need

setup: install ## folders, keys, database, static files, the demo's people
	@$(MANAGE) setup --demo

lint: install-dev ## ruff: format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: install-dev ## let ruff and djade mend what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $$(git ls-files 'templates/*.html' 'templates/**/*.html')

security: install-dev ## bandit, and advisories on what is locked (said in a line where the service cannot be asked)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .
	$(PY) -m tests.advisories

types: install-dev ## mypy, strict
	$(BIN)/mypy .

floors: install-dev ## import-linter: imports go down only
	$(BIN)/lint-imports

templates: install-dev ## djade and djlint
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files 'templates/*.html' 'templates/**/*.html')
	$(BIN)/djlint --lint --quiet templates

migrations-check: install-dev ## no model without its migration
	COUNTERSIGN_VAR_DIR=$$(mktemp -d) $(MANAGE) makemigrations --check --dry-run

machine: install-dev
	@$(PY) -m tests.services printing

unit: machine ## unit and flow tests on SQLite
	$(PY) -m pytest $(UNIT) -n 2 --dist loadgroup

postgres: machine ## races, triggers and the ledger on PostgreSQL (started for the occasion)
	$(PY) -m tests.services postgres -- $(PY) -m pytest -m postgres

browser: machine ## pages in a real browser
	$(PY) -m tests.services chromium
	$(PY) -m pytest -m browser || $(ONCE_MORE) -m browser

story: machine ## real processes: workers, servers, the MLflow client
	$(PY) -m pytest -m story || $(ONCE_MORE) -m story

soak: install-dev ## the long proofs: 10,000 random walks, 1,000 killed sequencers on each database, 100 races of 100 (an hour on 2 cores)
	$(PY) -m tests.audit.soak --kills 1000 --database sqlite
	$(PY) -m tests.audit.soak --kills 1000 --database postgres
	$(PY) -m tests.reviews.soak
	$(PY) -m tests.reviews.machine --walks 10000

bench-ledger: install-dev ## the ledger beside its peers, a million entries on each database (a quarter of an hour); writes docs/benchmarks.md
	$(PY) -m benchmarks.ledger --events 1000000 --write docs/benchmarks.md

bench-registry: install-dev ## the registry beside `mlflow server`, on each database, with 1,000 and 100,000 versions (half an hour); installs wrk where it is missing; writes docs/benchmarks.md
	$(PY) -m benchmarks.registry --write docs/benchmarks.md

bench-pages: install-dev ## what the review page and the inbox cost
	$(PY) benchmarks/review_page.py

openapi: install-dev ## write docs/openapi.yaml
	$(MANAGE) spectacular --file docs/openapi.yaml --validate

lock: $(BIN)/uv ## compile requirements/*.txt from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra anchors -c requirements/base.txt pyproject.toml -o requirements/anchors.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header -c requirements/base.txt requirements/bench.in -o requirements/bench.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements/base.txt pyproject.toml -o requirements/dev.txt

clean: ## remove what `make run` made: database, keys, artifacts, logs (asks first)
	@read -p "This deletes var/ with the database, the keys and the ledger. Type yes to go on: " answer && [ "$$answer" = yes ] && rm -rf var || echo "Nothing was deleted."
