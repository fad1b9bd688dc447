# Everything a person runs. Python 3.11 or newer is all it needs.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
PIN    := $(RUN) -m uv pip compile --quiet --universal --python-version=3.11 --only-binary=:all: --generate-hashes \
          --no-emit-index-url --custom-compile-command='make lock' $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help install demo test faults fuzz rabbitmq tls-servers lint security audit sbom lock docs accuracy bench clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.compiled ## create .venv and install what everything here needs

$(VENV)/.installed: requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing into $(VENV) (about a minute the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements-dev.lock
	@touch $@

# Kept in __pycache__; without this, the first to start would do it.
$(VENV)/.compiled: $(VENV)/.installed shared/retrieval.py worker/training/interactions.py worker/training/estimators/counting.py
	@echo "Compiling the loops of scorer and training (a minute) ..."
	@$(RUN) -c 'import shared.scorer, worker.training.train as training; shared.scorer.warm_up(); training.warm_up()'
	@touch $@

demo: install ## run the whole service on real data (Ctrl-C stops it)
	@exec $(RUN) -m demo $(ARGS)

test: install ## unit and integration tests against real servers, and the shorter of the faults; two files at a time
	@$(RUN) -m pytest -m "not faults and not fuzz" --numprocesses=2 --dist=loadfile $(ARGS)

faults: install ## break everything and see what becomes of the jobs; SOAK=10m: at random, for that long; SEED=1
	@$(RUN) -m pytest $(if $(SOAK),tests/faults/test_soak.py --faults-soak=$(SOAK),tests/faults) \
	  --faults-seed=$(or $(SEED),1) $(ARGS)

fuzz: install ## thousands of requests made up from /openapi.json, right and wrong, to the running service; SEED=1
	@$(RUN) -m pytest tests/fuzz --capture=no --fuzz-seed=$(or $(SEED),1) $(ARGS)

rabbitmq: ## install what the tests of RabbitMQ need (Debian, as root); without it they are skipped
	@tests/install-servers.sh rabbitmq-server

tls-servers: ## install what the tests of TLS need (Debian, as root): a Redis and a PostgreSQL that know it
	@tests/install-servers.sh redis-server postgresql

lint: install ## ruff, mypy, bandit, compose file and Dockerfiles
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m bandit --quiet --configfile=pyproject.toml --recursive shared gateway worker demo
	@$(RUN) -m tests.containers

security: install ## attack the service, then bandit, hadolint and make audit; OFFLINE=1: see there
	@$(RUN) -m tests.security $(if $(OFFLINE),--offline) $(ARGS)

audit: install ## known vulnerabilities of the service's libraries; OFFLINE=1: nobody to ask is no failure
	@$(RUN) -m tests.audit $(if $(OFFLINE),--offline) $(ARGS)

sbom: install ## write sbom.json, which lists the service's libraries (CycloneDX)
	@$(RUN) -m tests.sbom $(ARGS)

# Without `install`, which needs locks that are whole.
lock: ## pin what the requirements bring along, with hashes; UPGRADE=1: to the newest that fit
	@test -x $(VENV)/bin/uv || $(MAKE) --no-print-directory install
	@$(PIN) requirements.txt --output-file requirements.lock
	@$(PIN) requirements-dev.txt --constraints requirements.lock --output-file requirements-dev.lock

docs: install ## write the schemas in docs/messages again, from the code
	@$(RUN) -m docs.messages.generate

accuracy: ## our models beside implicit and lenskit, on real sets (an hour; installs 6 GB into .venv-bench)
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r requirements-bench.txt
	@exec .venv-bench/bin/python -m benchmarks accuracy $(ARGS)

bench: install ## every target of speed beside its figure (fifty minutes; 10 GB of disk meanwhile); ARGS="--runs 1"
	@exec $(RUN) -m benchmarks run all --plot --markdown docs/PERFORMANCE.md --json .bench/figures.json $(ARGS)

clean: ## remove .venv, .venv-bench, .demo and .bench
	rm -rf $(VENV) .venv-bench .demo .bench
