# Short targets; each is what the README says.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUIET := tests/e2e tests/clients tests/benchmarks tests/faults
# ^ tests that want the machine to themselves: whole conversations in real time; the others run on two cores
VOXTRAL := $(VENV)/.installed-voxtral$(if $(CPU),-cpu)

.PHONY: help install serve voxtral vllm clients test test-vllm check lock soak bench bench-stub bench-peers clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## .venv from the lock file, and the model files
	@$(BIN)/voxtral-voice models pull

serve: $(VENV)/.installed  ## start the server and print its URL
	@$(BIN)/voxtral-voice serve

voxtral: $(VOXTRAL)  ## the libraries of the gpu profile: Voxtral in this process (CPU=1: torch without CUDA)

vllm: $(VENV)/.installed  ## vLLM for the gpu profile, in an environment of its own: faster, and for several users
	@bash scripts/install_vllm

clients: $(VENV)/.installed  ## the stock clients that tests talk with, each in an environment of its own
	@bash scripts/install_clients

test: $(VENV)/.installed-dev  ## all tests
	@$(BIN)/voxtral-voice models pull
	$(BIN)/python -m pytest -n 2 --dist loadfile $(QUIET:%=--ignore=%) $(PYTEST_ARGS)
	$(BIN)/python -m pytest $(QUIET) $(PYTEST_ARGS)

test-vllm: $(VENV)/.installed-dev $(VOXTRAL)  ## our engines against a real vLLM on CPU (3 GB in .venv-vllm, 10 minutes)
	@bash scripts/install_vllm_cpu
	CI=true $(BIN)/python -m pytest tests/vllm_lane $(PYTEST_ARGS)

check: $(VENV)/.installed-dev  ## lint, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.readme --check

bench: $(VENV)/.installed-dev  ## measure this checkout (25 minutes): benchmarks/<date>-<commit>.json, and the README table
	@$(BIN)/voxtral-voice models pull
	$(BIN)/python -m benchmarks.standard
	$(BIN)/python -m benchmarks.readme

bench-stub: $(VENV)/.installed-dev  ## us and the alternatives without models: what each framework itself adds
	@$(BIN)/voxtral-voice models pull --profile remote
	$(BIN)/python -m benchmarks.peers.environments
	$(BIN)/python -m benchmarks.compare --mode stub --settings matched --sessions 8 $(BENCH_ARGS)

bench-peers: $(VENV)/.installed-dev  ## us and the alternatives in turn, with the same real models
	@$(BIN)/voxtral-voice models pull
	$(BIN)/python -m benchmarks.peers.environments
	$(BIN)/python -m benchmarks.compare --mode models --sessions 1 $(BENCH_ARGS)

soak: $(VENV)/.installed-dev  ## half an hour of sessions that come and go, break off and interrupt: what grows, what leaks
	$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

lock: $(VENV)/.installed-dev  ## write the lock files again from pyproject.toml
	bash scripts/lock

clean:  ## remove the environment
	rm -rf $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) scripts/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VOXTRAL): requirements-voxtral.lock scripts/install_voxtral $(VENV)/.installed
	@bash scripts/install_voxtral $(if $(CPU),--cpu)
	@rm -f $(VENV)/.installed-voxtral*
	@touch $@
