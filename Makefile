PYTHON ?= python3.11
CUSTOMS = .venv/bin/customs

.DEFAULT_GOAL := help
.PHONY: help setup up down status test test-fast lint bench docs lock

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup:  ## environments, project, Delta JARs, class archive (first time 3 minutes, then nothing)
	@command -v $(PYTHON) >/dev/null || { echo "customs: $(PYTHON) is not installed: install Python 3.11, or run make PYTHON=/path/to/python3.11." >&2; exit 2; }
	@$(PYTHON) infra/services/bootstrap.py

up: setup  ## start everything and run the customs day; INPUT=folder for own files, SIZE=full for the large history
	@$(CUSTOMS) up $(if $(SIZE),--size $(SIZE)) $(if $(INPUT),--input "$(INPUT)")

down:  ## stop the services; data stays
	@$(CUSTOMS) down

status:  ## services, feeds, datasets, models, dashboards, addresses
	@$(CUSTOMS) status

test: setup  ## every test (21 to 23 minutes on two cores)
	@$(PYTHON) infra/services/bootstrap.py --browser
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

test-fast: setup  ## tests that start no Java and no services (90 seconds)
	@.venv/bin/python -m pytest -n 2 --dist loadfile -m "not spark and not services and not datasets and not slow"

lint: setup  ## ruff, import direction, SQL, YAML
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports
	@.venv/bin/sqlfluff lint dbt --disable-progress-bar && .venv/bin/yamllint -s .

bench: setup  ## ingestion against a plain parse, following a feed against bare appends, in the same run
	@.venv/bin/python -m infra.lake.bench

docs: setup  ## data dictionary and dataset documentation
	@$(CUSTOMS) contracts dictionary && $(CUSTOMS) datasets docs

LOCK = .setup/tools/bin/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: setup  ## pin infra/envs/*.in anew, with hashes and without addresses
	@$(LOCK) infra/envs/platform.in -o infra/envs/platform.txt && $(LOCK) infra/envs/superset.in -o infra/envs/superset.txt
