# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   make demo       an internet of its own on this machine, and site.yml on blank hosts in it
#   make demo-down  take it away again
#   make test       lint, unit, simulation, sanity, molecule and integration, each also by its own name
#   make kills      the long form (two hours): site.yml killed after each changed task in turn
#   make rolls      the long form (two hours): keys, certificates, algorithms, pairs and shared names roll in the lab, and DANE clients look all the time
#   make faults     the long form (an hour): a key rolls in the lab while something is broken, and while runs are killed
#   make simulate   the long form: every strategy in every simulated world, and a table of what went wrong
#   make traces     what real NSD and unbound (from PATH) do when records are replaced, recorded for the simulation
#   make mutants    small faults in the rules of the rollover, one by one: the tests must see each; goes on where it stopped
#   make bench      what it takes, as ratios measured in one run; leaves no lab
#
# Each line is a command that a person can type, after: . .venv/bin/activate

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Debian's own Python, by its path: a python3 found by name may be anybody's.
PYTHON ?= /usr/bin/python3
# The lab makes networks and containers.
SUDO ?= $(if $(filter-out 0,$(shell id --user)),sudo)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Nothing of the user's own Ansible, and nothing left in it.
export ANSIBLE_HOME := $(CURDIR)/.cache/ansible
export ANSIBLE_PIPELINING := 1
export ANSIBLE_NOCOWS := 1
export ANSIBLE_CALLBACK_RESULT_FORMAT := yaml
export MOLECULE_GLOB := molecule/*/molecule.yml
export MOLECULE_COMMAND_BORDERS := false
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
unexport ANSIBLE_COLLECTIONS_PATH ANSIBLE_CONFIG ANSIBLE_INVENTORY PYTHONPATH

.PHONY: help setup packages demo demo-down test lint unit simulation sanity molecule integration kills rolls faults simulate traces mutants bench lock clean

help:
	@sed -n 's/^#   //p' Makefile

# --- set-up ---

setup: packages .venv/.ready

packages:
	@tests/install-packages tests/packages.txt $(wildcard tests/lab/packages.txt)

.venv/.ready: requirements.lock | packages
	@echo "Making .venv from requirements.lock"
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check "$$(grep --only-matching '^uv==[^ ;]*' requirements.lock)"
	uv pip install --quiet --python .venv/bin/python --requirements requirements.lock
	tests/link-collection .venv
	touch $@

# The same tools with the libraries of a managed host's Debian release.
.cache/venv-debian12/.ready: LIBRARIES := cryptography==38.0.4 dnspython==2.3.0
.cache/venv-debian13/.ready: LIBRARIES := cryptography==43.0.0 dnspython==2.7.0
.cache/venv-%/.ready: .venv/.ready
	uv venv --quiet --clear --python $(PYTHON) .cache/venv-$*
	printf '%s\n' $(LIBRARIES) >.cache/venv-$*/libraries.txt
	uv pip install --quiet --python .cache/venv-$*/bin/python --requirements requirements.lock --overrides .cache/venv-$*/libraries.txt
	tests/link-collection .cache/venv-$*
	touch $@

lock: setup
	uv pip compile --quiet --upgrade --universal --python $(PYTHON) requirements.in --output-file requirements.lock
	{ grep '^ansible-core==' requirements.in; printf '%s\n' cryptography dnspython; } | uv pip compile --quiet --universal --python $(PYTHON) \
		--constraint requirements.lock --generate-hashes --no-annotate --no-header - --output-file roles/unattended/files/requirements.txt

# --- the demo ---

demo: setup
	@tests/demo

demo-down:
	$(SUDO) tests/lab/lab purge

# --- the tests ---

test: setup
	@trap '$(SUDO) tests/lab/lab down' EXIT; tests/run-stages lint "molecule unit simulation sanity" integration

LINT := lint-ruff lint-mypy lint-yaml lint-ansible lint-docs lint-readmes lint-changelog lint-reuse lint-build
.PHONY: $(LINT)
lint: $(LINT)

lint-ruff: setup
	ruff check
	@echo "$@: 1 passed, 0 failed"

lint-mypy: setup
	mypy plugins
	@echo "$@: 1 passed, 0 failed"

lint-yaml: setup
	yamllint --strict .
	@echo "$@: 1 passed, 0 failed"

lint-ansible: setup
	ansible-lint --offline --profile production
	@echo "$@: 1 passed, 0 failed"

lint-docs: setup
	antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
	@echo "$@: 1 passed, 0 failed"

lint-readmes: setup
	tests/role-readmes --check

lint-changelog: setup
	antsibull-changelog lint
	@echo "$@: 1 passed, 0 failed"

lint-reuse: setup
	reuse lint --lines
	@echo "$@: 1 passed, 0 failed"

lint-build: setup
	ansible-galaxy collection build --force --output-path .cache/build
	@echo "$@: 1 passed, 0 failed"

UNIT := unit-newest unit-debian12 unit-debian13
.PHONY: $(UNIT)
unit: $(UNIT)

unit-newest: setup
	python -m pytest

# With the versions of cryptography and dnspython that the managed hosts have, and without what is for the controller alone.
unit-debian12 unit-debian13: unit-debian%: setup .cache/venv-debian%/.ready
	.cache/venv-debian$*/bin/python -m pytest $(addprefix --ignore=tests/unit/test_,challenges.py model.py model_facts.py playbooks.py roles.py)

# Keys that roll in worlds full of faults.
simulation: setup
	python -m pytest tests/simulation

sanity: setup
	tests/run-sanity

simulate: setup
	python tests/simulation/simulate.py

# Two minutes. Of other versions: PATH=<where they are>:$PATH make traces
traces: setup
	python tests/simulation/record_traces.py

mutants: setup
	python tests/mutation/mutants.py

molecule: setup
	molecule test --all

# Takes the lab as it is; on hosts that molecule has built it is faster.
integration: setup
	python -m pytest tests/integration

kills: setup
	python -m pytest -s tests/integration/kills.py

rolls: setup
	ROLLS=10 python -m pytest -s tests/integration/test_8_*.py \
		$(addprefix tests/integration/,shared_names.py pairs.py algorithm.py two_controllers.py fail_open.py first_publication.py kept_key.py revoked.py ds_gone.py \
			load.py lost_host.py unattended.py unattended_alone.py default_hold.py)

faults: setup
	FAULTS=all KILLS=40 python -m pytest -s tests/integration/test_9_faults.py tests/integration/primary_down.py

# Alone on the machine, or the ratios are those of chance.
bench: setup
	@trap '$(SUDO) tests/lab/lab down' EXIT; python tests/bench/bench.py

clean:
	rm -rf .venv .cache .ansible
