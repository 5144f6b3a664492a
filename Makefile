# Everything runs in .venv, which the targets make and keep up to date themselves.

BIN := .venv/bin
PYTHON3 := python3 python3.14 python3.13 python3.12 python3.11
MANAGE := $(BIN)/python manage.py
TEMPLATES := $(wildcard templates)

# Any production would do: these settings are only looked at, nothing is reached.
PRODUCTION := DEBUG=off SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_hex(50))') \
	ALLOWED_HOSTS=shop.example.com SITE_URL=https://shop.example.com \
	DATABASE_URL=postgresql://shop@db/shop SALE_REDIS_URL=redis://sale:6379/0 \
	QUEUE_REDIS_URL=redis://queue:6379/0 CACHE_REDIS_URL=redis://queue:6379/1 \
	STRIPE_SECRET_KEY=sk_live_x STRIPE_WEBHOOK_SECRET=whsec_x

.DEFAULT_GOAL := help
.PHONY: help demo run worker cron test faults bench check lint format css types contracts \
	migrations deploy browser pictures lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.runtime ## Run everything on this machine; PORT=8000, DATA_DIR=var, RESET=1
	@$(MANAGE) demo --with-parent

run: .venv/.runtime ## Run Django's development server
	@$(MANAGE) runserver $(PORT)

worker: .venv/.runtime ## Run a worker for all queues
	@$(MANAGE) rqworker --worker-ttl 60 default imports flash --with-scheduler

cron: .venv/.runtime ## Run the schedule that feeds the workers
	@$(MANAGE) rqcron sales.cron

test: .venv/.develop browser ## Run all tests; ARGS="-k claim" narrows them down
	@$(BIN)/python -m pytest $(ARGS)

faults: .venv/.develop ## Run the tests that kill, lose, repeat and delay
	@FAULTS=long $(BIN)/python -m pytest -m "long or not long" tests/faults tests/sales/test_cluster.py $(ARGS)

bench: .venv/.develop ## Measure, as ratios within one run
	@$(BIN)/python -m bench $(ARGS)

check: lint types contracts migrations deploy test ## Do what CI does

lint: .venv/.develop ## Check the style of code and templates, and the compose file
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/djlint --check --lint $(TEMPLATES)
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: .venv/.develop ## Put code and templates into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/djlint --quiet --reformat $(TEMPLATES) || true

css: .venv/.develop ## Compile the shop's style sheet from assets/shop.css
	@$(BIN)/tailwindcss --input assets/shop.css --output static/css/shop.css --minify

types: .venv/.develop ## Check the types
	@$(BIN)/mypy manage.py shop catalog sales

contracts: .venv/.develop ## Check who imports whom
	@$(BIN)/lint-imports --no-logo

migrations: .venv/.develop ## Check that no migration is missing
	@$(MANAGE) makemigrations --check --dry-run

deploy: .venv/.develop ## Check the settings and static files of a production
	@$(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING
	@STATIC_ROOT=var/check-static $(MANAGE) collectstatic --no-input --verbosity 0

pictures: .venv/.develop browser ## Take docs/pictures from a running demo; PORT=8000
	@$(BIN)/python -m tests.browser.pictures http://localhost:$(or $(PORT),8000) $(ARGS)

browser: .venv/.develop ## Find or install the Chromium of the browser tests
	@$(BIN)/python -m tests.chromium

lock: .venv/.develop ## Choose the newest allowed versions of all packages
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --upgrade pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --upgrade --extra dev \
		pyproject.toml --output-file requirements-dev.txt

# -- The environment ---------------------------------------------------------------

.venv/.runtime: requirements.txt .venv/.made
	@echo "Installing what requirements.txt lists into .venv ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--require-hashes -r requirements.txt
	@touch $@

.venv/.develop: requirements-dev.txt .venv/.made
	@echo "Installing what requirements-dev.txt lists into .venv ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--require-hashes -r requirements-dev.txt
	@touch $@

.venv/.made:
	@if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then touch $@; exit 0; fi; \
	for python in $(PYTHON) $(PYTHON3); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { lacking=$$python; continue; }; \
		echo "Making .venv with $$($$python --version) ..."; \
		$$python -m venv --clear .venv && touch $@; exit; \
	done; \
	if [ -n "$$lacking" ]; then \
		echo "$$lacking cannot make an environment. On Debian and Ubuntu, as root:"; \
		echo "    apt-get install python3-venv"; \
	else \
		echo "Holdfast needs Python 3.11 or later; if it is not on the PATH, name it:"; \
		echo "    make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
	fi >&2; exit 1
