# Everything a developer or CI runs. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Arguments for the program behind demo, test, coverage, unit, faults, soak and bench: make test ARGS="-k postgres -x"
ARGS ?=
# How long a soak lasts.
MINUTES ?= 30
# The tests start Python a thousand times over; without kept byte code each of them would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
# Most tests wait for servers, so that more of them than there are processors go on at a time. WORKERS=0 is one by
# one in pytest's own process, which a debugger wants.
WORKERS ?= 3
SHARED_OUT = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
UNIT_TESTS := tests/unit tests/property tests/architecture

.PHONY: help demo test coverage lint unit faults simulate soak bench lock wheel clean testbed

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-8s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## Show the whole thing on a PostgreSQL of its own (ARGS for the demo's options)
	@$(BIN)/remediator demo $(ARGS)

test: testbed lint $(VENV)/.dev ## Lint, then run every test against real servers
	$(BIN)/python -m pytest $(SHARED_OUT) $(ARGS)

coverage: testbed $(VENV)/.dev ## Run every test and measure what they reach, in every process; half as slow again
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(SHARED_OUT) $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(VENV)/.dev ## Check style, types and the import rules, and ask for known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@PIP_AUDIT=$(BIN)/pip-audit scripts/audit

unit: $(VENV)/.dev ## Run the fast tests, which need no server
	$(BIN)/python -m pytest $(UNIT_TESTS) $(ARGS)

faults: testbed $(VENV)/.dev ## Break everything around it, for real, and print what was measured
	$(BIN)/python -m pytest tests/faults $(SHARED_OUT) $(ARGS)

soak: testbed $(VENV)/.dev ## Let it run among faults at random for MINUTES=30 and judge what it holds
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

simulate: $(VENV)/.dev ## Run the control loop in random worlds (SEEDS=100, or SEED=7; DAYS=2)
	$(BIN)/python -m tests.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(DAYS),--days $(DAYS)) $(ARGS)

bench: testbed $(VENV)/.dev ## Measure what the watching costs
	$(BIN)/python -m benchmarks $(ARGS)

lock: $(VENV)/.dev ## Write the locks anew (ARGS=--upgrade for newer versions)
	UV=$(BIN)/uv scripts/lock $(ARGS)

wheel: $(VENV)/.dev ## Build the wheel and the source distribution into dist/
	@rm -rf dist
	$(BIN)/python -m build --no-isolation

testbed: ## Install what the tests run against and this machine lacks
	@scripts/testbed

clean: ## Remove everything that was built here
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find remediator tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.venv: scripts/venv
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

# A stamp is older than what it was made from when that has changed; then it is made again.
$(VENV)/.dev $(VENV)/.demo: $(VENV)/.%: $(VENV)/.venv requirements/%.txt pyproject.toml
	@echo "installing requirements/$*.txt into $(VENV)"
	@$(PIP) install --require-hashes --requirement requirements/$*.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@
