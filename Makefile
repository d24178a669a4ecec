# mod_wsgi_rs: everything one does with this tree. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# The interpreter that is baked in as the default one, and that tests and demo make their venvs with.
PYTHON ?= /usr/bin/python3
PORT ?= 8000
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
CARGO_TARGET_DIR ?= target
# More arguments for pytest, for example: make pytest PYTEST_ARGS='-k http2 -x'
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 30

export CARGO_TARGET_DIR PYTHON
# Read by build.rs.
export WSGI_DEFAULT_PYTHON := $(PYTHON)
# PyO3 looks for an interpreter even where the stable ABI needs none; it gets the one we name, not the first on PATH.
export PYO3_PYTHON := $(PYTHON)

VENV := build/venv
REFERENCE := build/reference
DEMO_VENV := build/demo-venv

say = @printf '\n== %s\n'

.PHONY: build help setup setup-test venv demo check check-rust check-python test pytest conformance test-reference docker-test bench fuzz install uninstall clean

build: ## build the module, its Python host and wsgictl into dist/
	@command -v cc >/dev/null || { echo 'make: no C compiler. Debian and Ubuntu: apt-get install gcc libc6-dev    Fedora and RHEL: dnf install gcc' >&2; exit 1; }
	$(say) 'building dist/ (cargo, release)'
	@PYO3_BUILD_EXTENSION_MODULE=1 $(CARGO) build --release -p mod_wsgi_rs -p wsgi_host -p wsgi_supervisor
	@scripts/assemble-dist "$(CARGO_TARGET_DIR)/release" dist
	@echo 'LoadModule wsgi_module $(CURDIR)/dist/mod_wsgi_rs.so'

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## install the system packages that building, tests and demo need
	@scripts/setup build run

# What only the tests need: the host's unit tests are programs that link libpython.
setup-test:
	@scripts/setup test

demo: setup build ## serve a Django and a Flask site on 127.0.0.1:8000 (PORT=) until Ctrl-C
	@scripts/make-venv $(DEMO_VENV) demo/requirements.txt
	@exec $(DEMO_VENV)/bin/python demo/run.py --port $(PORT)

venv: ## make build/venv from tests/requirements.txt
	@scripts/make-venv $(VENV) tests/requirements.txt

check: check-rust check-python ## formatting, clippy, Rust tests, Python unit tests, log codes
	@scripts/check-codes

check-rust:
	@$(CARGO) fmt --version >/dev/null && $(CARGO) clippy --version >/dev/null \
		|| { echo 'mend it with: rustup component add rustfmt clippy' >&2; exit 1; }
	$(say) 'formatting'
	@$(CARGO) fmt --all --check
	$(say) 'clippy, warnings are errors'
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(say) 'Rust tests'
	@$(CARGO) test --workspace

check-python: venv
	$(say) 'Python unit tests of the host'
	@$(VENV)/bin/python -m pytest -q crates/host/python/tests

test: setup setup-test build venv check pytest ## set-up, build, check, and the tests against a private httpd

pytest: venv
	$(say) 'tests against a private httpd'
	@scripts/run-tests $(PYTEST_ARGS)

conformance: setup setup-test build venv ## run the tests, and write docs/conformance.md from what came of them
	$(say) 'tests against a private httpd, for docs/conformance.md'
	@scripts/run-tests --conformance "$(CURDIR)/docs/conformance.md" $(PYTEST_ARGS)

# pip's cache may have a mod_wsgi that was built for another Python of the same version, hence none.
test-reference: setup setup-test venv ## the same tests against mod_wsgi, which is built for $(PYTHON) in build/reference
	@PIP_NO_CACHE_DIR=1 scripts/make-venv $(REFERENCE) tests/reference.txt
	$(say) 'tests against mod_wsgi'
	@WSGI_MODULE=$$($(REFERENCE)/bin/mod_wsgi-express module-location) scripts/run-tests $(PYTEST_ARGS)

docker-test: ## the smoke tests inside a container; SUITE=trixie or sid takes that release of Debian, and its Python
	@docker/test

bench: setup build ## compare with a C handler and with mod_wsgi
	@scripts/setup bench
	@$(PYTHON) benches/run.py $(BENCH_ARGS)

fuzz: ## run every cargo-fuzz target for FUZZ_SECONDS
	@scripts/fuzz $(FUZZ_SECONDS)

install: ## copy dist/ to $(DESTDIR)$(PREFIX)/lib/mod_wsgi_rs
	@scripts/install "$(DESTDIR)" "$(PREFIX)"

uninstall: ## take away what install wrote
	@scripts/install --remove "$(DESTDIR)" "$(PREFIX)"

clean: ## remove everything that is built
	@$(CARGO) clean
	@rm -rf dist build
