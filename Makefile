# Every check of this project. `make test` runs them all, on a fresh Debian with Rust, Python 3 and a C compiler too.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where the wheel lands, beside everything else that is built.
WHEELS := $(or $(CARGO_TARGET_DIR),target)/wheels
# The folders of Python that the linter reads; the stub is for old Pythons and has a check of its own.
PYTHON_CODE := $(wildcard python tests benches examples)

.PHONY: test prepare lint rust documentation wheel python stub bench clean help

# The order: what fails fastest stands first, and pytest, whose last line sums up, stands last.
test: prepare lint documentation stub rust python

help:
	@echo 'make test     every check (about 15 minutes the first time on two cores)'
	@echo 'make lint     formatting and linters alone'
	@echo 'make rust     the tests in Rust alone, examples included'
	@echo 'make python   the stub and the Python package alone, under every interpreter found'
	@echo 'make bench    the measurements (release build)'

# What the tests need of the system, and the Python tools in a folder of their own.
prepare: $(VENV)/ready
	./.ci/prepare

$(VENV)/ready: tests/requirements.txt
	./.ci/prepare
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r tests/requirements.txt
	touch $@

lint: $(VENV)/ready
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	cargo clippy --locked --lib --features python -- -D warnings
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/mypy
	$(BIN)/vermin -t=2.6- -t=3.2- --no-tips --eval-annotations --violations bootstrap_py python/easycluster/_accepts_timeout.py

rust:
	cargo test --locked --no-fail-fast

documentation:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# The dev profile, so that what the tests have built is used again.
wheel: $(VENV)/ready
	rm -rf $(WHEELS)
	$(BIN)/maturin build --locked --profile dev --out $(WHEELS)
	$(BIN)/pip install -q --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl

stub: $(VENV)/ready
	PYTHONPATH=tests $(BIN)/python -m pytest tests/stub

# Not together with the stub's tests: there are files of the same name.
python: stub wheel
	PYTHONPATH=tests $(BIN)/python -m pytest tests/support tests/python

bench:
	cargo bench --locked

clean:
	cargo clean
	rm -rf $(VENV)
