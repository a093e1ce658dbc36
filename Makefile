# Two commands matter: `make up` starts everything, `make test` tests everything.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv/bin
EXAMPLE ?= thinkincoin
.DEFAULT_GOAL := help

.PHONY: help up up-detached down status install install-test test lint types imports migrations pytest test-campaigns test-examples format bench demo keys lock

help: ## Show these lines
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install:
	@$(PYTHON) config/services/install.py base

install-test:
	@$(PYTHON) config/services/install.py test

up: install ## Start everything and stay in front; Ctrl-C stops it
	@exec $(VENV)/python -m config.services up

up-detached: install ## Start everything in the background
	@exec $(VENV)/python -m config.services up --detach

down: ## Stop what `make up` or `make up-detached` has started
	@if [ -x $(VENV)/python ]; then exec $(VENV)/python -m config.services down; fi

status: ## Say what runs, where, and with which log-ins
	@if [ -x $(VENV)/python ]; then exec $(VENV)/python -m config.services status; fi

test: install-test ## Lint, types, import rules, migrations, then every test
	@# What only reads the source goes two at a time; the tests begin when all of it has passed.
	@$(MAKE) --no-print-directory -j 2 types lint imports migrations
	@$(MAKE) --no-print-directory pytest

lint:
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

types:
	$(VENV)/mypy

imports:
	$(VENV)/lint-imports

migrations:
	$(VENV)/python -m config.services.check_migrations

pytest:
	@# Three on two cores, for some wait for a lease or a clock. What fails beside others is asked once more alone, since
	@# many tests kill servers and watch clocks; what fails again has failed.
	@# Only where tests failed (1): a pass that broke off left some unasked, and asking the failed ones would hide that.
	$(VENV)/pytest -n 3 -m "not campaign" || { [ $$? -eq 1 ] && $(VENV)/pytest -n 0 --last-failed --last-failed-no-failures none; }

test-campaigns: install-test ## Walk the whole journey in a browser, and drive real load and audit tools
	$(VENV)/pytest -n 2 -m campaign || { [ $$? -eq 1 ] && $(VENV)/pytest -n 0 --last-failed --last-failed-no-failures none; }

test-examples: install-test ## Test the host of the examples
	@# It knows nothing of the program, so its tests run without it. They mostly wait: four at once.
	$(VENV)/pytest -n 4 -q -c /dev/null --rootdir examples/hosting -p no:cacheprovider -p no:django -p no:asyncio -p no:locust examples/hosting/tests

format: install-test ## Put the code into its one form
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

bench: install-test ## Measure; prints name, value, unit, and a peer or limit
	$(VENV)/python -m benchmarks

demo: install ## Walk a whole go-live: make demo EXAMPLE=thinkincoin|pretalx
	@$(VENV)/python -m config.services status >/dev/null || $(VENV)/python -m config.services up --detach
	@$(VENV)/python -m config.demo $(EXAMPLE)

keys: ## Print new keys and passwords for docker-compose.yml: make keys > .env
	@$(PYTHON) config/services/keys.py

lock: install-test ## Write the lock files anew from requirements/*.in
	@# Each foreign tool by itself: they do not go together with each other or with the program.
	for one in installer tools/source tools/packages tools/tls tools/web tools/load; do \
	$(VENV)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--universal --python-version 3.11 requirements/$$one.in -o requirements/$$one.txt || exit 1; done
	$(VENV)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--universal --python-version 3.11 requirements/base.in -o requirements/base.txt
	$(VENV)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--universal --python-version 3.11 -c requirements/base.txt requirements/test.in -o requirements/test.txt
