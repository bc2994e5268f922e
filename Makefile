# packledger: `make run` serves the registry, `make test` proves it, `make help` lists the rest.
# Both set up what they need: a virtualenv in .venv from a hash-pinned lock file, and for the tests
# Node (from the same lock file), npm clients (tests/client/package-lock.json), git and cargo.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
LAYERS := domain eventstore feeds projections reactions audit commands api server cli
# Any Python from 3.11 on; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; \
	done)
# What the tests start (node, npm's scripts) must come from the lock file, whatever the machine has.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Node brings its own list of authorities; a registry behind a company's is in the system's.
SYSTEM_CA := $(wildcard /etc/ssl/certs/ca-certificates.crt)
ifneq ($(SYSTEM_CA),)
export NODE_EXTRA_CA_CERTS ?= $(SYSTEM_CA)
endif
unexport PYTHONPATH VIRTUAL_ENV

.PHONY: help run test test-quick check types bench bench-cluster lock secrets clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/run.stamp ## set up and serve the registry (ARGS="--data DIR --listen URL")
	@exec $(BIN)/packledger serve $(ARGS)

test: $(VENV)/dev.stamp tests/client/node_modules/clients.stamp build/kafka.stamp build/s3.stamp build/log_checker.stamp build/compose_loader.stamp build/containers.stamp ## set up and run every test (ARGS="-k NAME" for some)
	@tests/system_tools.sh cargo
	@tests/system_tools.sh browser
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-quick: $(VENV)/dev.stamp build/compose_loader.stamp ## the tests without services, clients and faults, for daily work: minutes (ARGS="-k NAME")
	$(BIN)/pytest -n 2 --dist loadfile tests/test_architecture.py tests/test_packaging.py \
		tests/unit tests/property tests/api $(ARGS)

check: $(VENV)/dev.stamp types ## formatting, lint and types, as CI and reviewers see them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp ## mypy strict; it cannot follow the editable install, so it gets a tree of links
	@mkdir -p build/types/packledger
	@ln -sfn $(addprefix $(CURDIR)/,$(LAYERS)) build/types/packledger/
	$(BIN)/mypy

bench: $(VENV)/dev.stamp tests/client/node_modules/clients.stamp ## measure and print the table of figures (ARGS="compare crowd --quick"; --help lists the parts)
	@tests/system_tools.sh bench
	$(BIN)/python bench/run.py $(ARGS)

bench-cluster: $(VENV)/dev.stamp build/kafka.stamp build/s3.stamp ## measure a cluster on this machine, and nginx on the static tree (ARGS="visible --quick")
	$(BIN)/python bench/distributed.py $(ARGS)
	$(BIN)/python bench/static_tree.py

# Locks carry hashes and no address: each machine uses the index it is configured with.
PIP_COMPILE = $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
lock: $(VENV)/dev.stamp ## resolve requirements*.lock and the npm clients' lock file anew
	@mkdir -p build
	$(PIP_COMPILE) --all-build-deps --output-file requirements.lock pyproject.toml
	@$(BIN)/python -c 'import tomllib; groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
		print("-r ../requirements.lock", *groups["dev"], sep="\n")' > build/dev.in
	$(PIP_COMPILE) --output-file requirements-dev.lock build/dev.in
	cd tests/client && npm install --package-lock-only --ignore-scripts
	cd bench/verdaccio && npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved

# Letters and digits only: one of them is part of a URL.
secrets: ## write .env with new passwords for docker-compose.yml, once
	@if [ -e .env ]; then echo "there is a .env already; to replace passwords, see docs/OPERATIONS.md" >&2; exit 1; fi
	@umask 077; for name in POSTGRES_PASSWORD S3_ACCESS_KEY S3_SECRET_KEY; do \
		printf '%s=%s\n' "$$name" "$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; done > .env
	@echo "wrote .env; add PACKLEDGER_PUBLIC_URL=https://… to it"

clean: ## remove what the other targets made, but no data
	rm -rf $(VENV) build tests/client/node_modules bench/verdaccio/node_modules

# -- set-up, each step once ----------------------------------------------------------------------

$(BIN)/python:
	@tests/system_tools.sh python "$(PYTHON)"
	@python="$(PYTHON)"; "$${python:-python3}" -m venv $(VENV)

# Asking for hashes is redundant with a lock full of them, and refuses a lock that lost some.
define install
	@echo "installing into $(VENV): $$(sed -n 's/^\([A-Za-z0-9._-]*\)==\([^ ]*\).*/\1 \2/p' $(1) | paste -sd, | sed 's/,/, /g')"
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(1)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
endef

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(VENV)/run.stamp

tests/client/node_modules/clients.stamp: tests/client/package-lock.json $(VENV)/dev.stamp
	@echo "installing npm clients: $$(sed -n 's/^    "\([^"]*\)": "\([0-9.]*\)",\{0,1\}$$/\1 \2/p' tests/client/package.json | paste -sd, | sed 's/,/, /g')"
	@cd tests/client && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

MAVEN_COPY = org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies
build/kafka.stamp: tests/servers/kafka/pom.xml
	@tests/system_tools.sh servers
	@echo "fetching Kafka $$(sed -n 's,.*<kafka.version>\(.*\)</.*,\1,p' $<) into build/kafka"
	@rm -rf build/kafka && mkdir -p build
	@mvn -B -q -f $< $(MAVEN_COPY) -DoutputDirectory=$(CURDIR)/build/kafka -DincludeScope=runtime
	@touch $@

# Every module that goes into it is pinned by go.sum; Go itself by the lock file.
build/s3.stamp: tests/servers/s3/go.mod tests/servers/s3/go.sum | $(VENV)/dev.stamp
	@echo "building an S3 server:$$(sed -n 's,.*/\(versitygw v[0-9.]*\).*, \1,p' $<) into build/s3 (a minute)"
	@cd tests/servers/s3 && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 $(CURDIR)/$(BIN)/go build -trimpath \
		-buildvcs=false -ldflags '-s -w' -o $(CURDIR)/build/s3/versitygw github.com/versity/versitygw/cmd/versitygw
	@touch $@

# What judges the transparency log is not ours: tessera's fsck, litewitness, and their packages.
build/log_checker.stamp: tests/log_checker/go.mod tests/log_checker/go.sum tests/log_checker/main.go | $(VENV)/dev.stamp
	@echo "building the log's judges:$$(sed -n 's,.*/\(tessera v[0-9.]*\)$$, \1,p; s,.*/\(torchwood v[0-9.]*\)$$, \1,p' $< | tr -d '\n') into build/log_checker (a minute)"
	@cd tests/log_checker && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 GOBIN=$(CURDIR)/build/log_checker \
		$(CURDIR)/$(BIN)/go install -trimpath -buildvcs=false -ldflags '-s -w' tool .
	@touch $@

# What judges the compose files is what Docker Compose loads them with.
build/compose_loader.stamp: tests/compose_loader/go.mod tests/compose_loader/go.sum tests/compose_loader/main.go | $(VENV)/dev.stamp
	@echo "building Compose's loader:$$(sed -n 's,.*/\(compose-go\)/v2 \(v[0-9.]*\)$$, \1 \2,p' $<) into build/compose_loader"
	@cd tests/compose_loader && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 $(CURDIR)/$(BIN)/go build -trimpath \
		-buildvcs=false -ldflags '-s -w' -o $(CURDIR)/build/compose_loader/compose_loader .
	@touch $@

# And what starts them: Docker Compose itself. Its module has directives of its own, with which Go
# builds nothing but the main module: so a copy of it becomes that. Go's checksum database, and the
# sum here, say what it is.
COMPOSE_VERSION := v2.40.3
COMPOSE_SUM := h1:XeYkQu1svDtyfZPv5nTwFryQ25ZJMkIlc4pz9HalMPI=
build/compose-$(COMPOSE_VERSION).stamp: | $(VENV)/dev.stamp
	@echo "building Docker Compose $(COMPOSE_VERSION) into build/compose (some minutes)"
	@rm -rf build/compose && mkdir -p build/compose
	@found=$$(cd / && GOTOOLCHAIN=local GOFLAGS= $(CURDIR)/$(BIN)/go mod download -json github.com/docker/compose/v2@$(COMPOSE_VERSION)); \
		field() { sed -n "s/^\t\"$$1\": \"\(.*\)\",\{0,1\}$$/\1/p" <<< "$$found"; }; \
		[ "$$(field Sum)" = "$(COMPOSE_SUM)" ] || { echo "not the Compose that is expected: $$(field Sum)" >&2; exit 1; }; \
		cp -r --no-preserve=mode "$$(field Dir)" build/compose/source
	@cd build/compose/source && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 $(CURDIR)/$(BIN)/go build -trimpath \
		-buildvcs=false -ldflags '-s -w -X github.com/docker/compose/v2/internal.Version=$(COMPOSE_VERSION)' \
		-o ../docker-compose ./cmd
	@rm -r build/compose/source
	@touch $@

# What the compose files run besides us, made of Debian's packages: nothing is pulled.
build/containers/debian.tar: tests/servers/containers/debian.sh
	@tests/system_tools.sh containers
	@echo "making a small Debian for containers: $@ (half a minute)"
	@mkdir -p $(@D)
	@$< $@

build/containers.stamp: $(wildcard tests/servers/containers/*/*) build/containers/debian.tar build/kafka.stamp build/s3.stamp build/compose-$(COMPOSE_VERSION).stamp
	@tests/system_tools.sh containers
	@echo "making the images of PostgreSQL, Kafka, S3, nginx and Python (two minutes)"
	@$(BIN)/python tests/support/stand_ins.py
	@touch $@
