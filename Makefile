# Everything that is done with this source tree; `make` alone lists it.
# ARGS is passed on: make test ARGS="-k timeline"

PYTHON ?=
ARGS ?=
DIR ?= tests/differential/playbooks
N ?= 200
# Tests wait for other processes half of the time, so there are more workers than cores.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2)))
# A Python that is named has a virtual environment of its own: make test-fast PYTHON=python3.13
VENV := .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ANSIBLE_READY := .venv-ansible/.ready
GENERATORS_READY := .venv-generators/.ready

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-fast test-outcomes check audit format docs chaos faults soak differential fuzz bench image-check screenshots \
	migration constraints ansible-versions client-generators clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r target what; do \
		printf '  make %-16s %s\n' "$$target" "$$what"; done

demo: $(READY) ## Show clusterm at work, on this machine alone
	@$(BIN)/clusterm demo $(ARGS)

serve: $(READY) ## Run the service
	@$(BIN)/clusterm serve $(ARGS)

test: $(READY) $(ANSIBLE_READY) $(GENERATORS_READY) ## Run all tests
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations=10 $(ARGS)

test-fast: $(READY) ## Run the tests that need no service, in less than a minute
	$(BIN)/pytest -n logical --dist loadscope --no-loadscope-reorder tests/unit tests/store tests/docs $(ARGS)

test-outcomes: $(READY) $(ANSIBLE_READY) ## Run the table of outcomes with every version of ansible-core
	TEST_EVERY_ANSIBLE_VERSION=1 $(BIN)/pytest -n $(WORKERS) --dist loadscope tests/ansible/outcomes $(ARGS)

check: $(READY) ## Check style, types, imports, migrations and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tests migrations scripts benchmarks
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/pytest -q tests/store/test_migrations.py tests/cli/test_migrate.py tests/docs

audit: $(READY) ## Check the pinned packages for published vulnerabilities
	@$(BIN)/python scripts/audit.py

format: $(READY) ## Put the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Generate the reference, and a module of the client, out of the code
	$(BIN)/python scripts/generate_docs.py

screenshots: $(READY) ## Take the screenshots in docs/images
	@$(BIN)/python scripts/screenshots.py

chaos: $(READY) ## Kill processes at random in 50 rounds of real jobs, and check what must hold whatever dies
	PYTHONPATH=tests $(BIN)/python tests/system/chaos.py $(ARGS)

faults: $(READY) ## Let each call of a small job fail once, and check the same: ARGS="--sample 10" for every tenth
	PYTHONPATH=tests $(BIN)/python tests/system/faults/faults.py $(ARGS)

soak: $(READY) ## Run a service under mixed load for an hour: ARGS="--minutes 60"
	PYTHONPATH=tests $(BIN)/python tests/system/soak.py $(ARGS)

differential: $(READY) ## Compare what clusterm stores with what ansible does, for the playbooks in DIR
	@PYTHONPATH=tests $(BIN)/python tests/differential/run_folder.py $(DIR) $(ARGS)

fuzz: $(READY) ## Compare the same for N random playbooks
	FUZZ_EXAMPLES=$(N) $(BIN)/pytest tests/differential/test_fuzz.py --timeout=0 -p no:xdist $(ARGS)

bench: $(READY) ## Measure the speed, side by side with the same work done without clusterm
	@$(BIN)/python benchmarks/bench.py $(ARGS)

image-check: $(READY) ## Build the container image and run it, as root and without a registry
	@PYTHONPATH=tests $(BIN)/python tests/system/image_check.py

migration: $(READY) ## Write a migration for the tables as they are now: make migration m="add ..."
	@$(BIN)/python scripts/new_migration.py "$(m)"
	@$(BIN)/ruff check --quiet --fix migrations
	@$(BIN)/ruff format --quiet migrations

constraints: ## Pin the newest version of every package in constraints.txt
	@PYTHON="$(PYTHON)" sh scripts/pin_constraints.sh

ansible-versions: $(ANSIBLE_READY) ## Install the other versions of ansible-core that the tests run

client-generators: $(GENERATORS_READY) ## Install the generators of clients that the tests run

clean: ## Remove everything that make made
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): constraints.txt pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup_venv.sh
	@touch $@

$(ANSIBLE_READY): scripts/setup_ansible_versions.sh $(wildcard tests/ansible/versions/*.txt)
	@sh scripts/setup_ansible_versions.sh
	@touch $@

$(GENERATORS_READY): scripts/setup_client_generators.sh $(wildcard tests/system/generators/*)
	@sh scripts/setup_client_generators.sh
	@touch $@
