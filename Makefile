# The tests and linters of this project. `make test` runs every test, on a fresh Debian with Rust, Python 3 and a C compiler too.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# Without pyenv's shims, if there is a Python beside them: each start runs a shell script there, which takes ten times as long as Python.
UNSHIMMED := $(shell tr : '\n' <<<"$$PATH" | grep -v 'pyenv.*/shims/*$$' | paste -sd :)
export PATH := $(if $(shell PATH="$(UNSHIMMED)" command -v python3),$(UNSHIMMED),$(PATH))

# Where bytecode must not be kept, each of the many processes of a run would compile anew what it imports: five seconds for Dask alone.
unexport PYTHONDONTWRITEBYTECODE
# Cargo shares out the processors itself, and takes no orders from the `make` that runs it beside something else.
export CARGO_MAKEFLAGS :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is compiled for tests, linters, documentation and the package: with this, they share the dependencies (Cargo.toml).
UNIFIED := --locked --features unified
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where the wheel lands, beside everything else that is built.
WHEELS := $(TARGET)/wheels
# Which parts of the tests had what they need, for the closing line.
RECORD := $(abspath $(TARGET))/tests-record
# So many tests at once: twice as many as there are processors, because they mostly wait.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
AT_ONCE := $(shell echo $$(($(PROCESSORS) < 8 ? 2 * $(PROCESSORS) : 16)))
# A process that crashes ends the run: with another in its place the others may wait for ever.
PYTEST := $(BIN)/python -m pytest -q -n $(AT_ONCE) --dist loadgroup --max-worker-restart 0
# The folders of Python that the linter reads; the stub is for old Pythons and has a check of its own.
PYTHON_CODE := $(wildcard python tests benches examples)

.PHONY: test every-test prepare lint lint-python clippy compiled rust documentation wheel python package dask stub test-bare test-busy \
    fuzz bench clean help

# Two things at a time, because compilers end on one processor and tests mostly wait; a failure keeps nothing else from being tried. The
# last line says under which Pythons was tested, and what was not tried.
test: export EASYCLUSTER_TESTS_RECORD := $(RECORD)
test: prepare
	@mkdir -p $(dir $(RECORD))
	@rm -f $(RECORD)
	@$(MAKE) --no-print-directory -j2 --keep-going every-test
	@$(BIN)/python tests/support/parts.py $(RECORD)

# In the order in which they begin, as soon as what each needs is there. The stub is all Python, and is tried while Rust is compiled.
every-test: compiled lint-python stub package rust dask

help:
	@echo 'make test       every test (about twelve minutes the first time on two cores)'
	@echo 'make lint       formatting, linters, the documentation and the list of the public API'
	@echo 'make rust       the tests in Rust alone, examples included'
	@echo 'make stub       the stub alone, under every interpreter found'
	@echo 'make python     the stub and the Python package, under every interpreter found'
	@echo 'make test-busy  every test while four other programs want the processors'
	@echo 'make test-bare  the demo and every test on a Debian with nothing else (root, and mmdebstrap)'
	@echo 'make fuzz       each fuzz target for a minute, and mutated pickles for the Python package'
	@echo 'make bench      the measurements (release build)'
	@echo 'make check-windows, test-windows, check-platforms, check-msrv: other systems (docs/platforms.md)'
	@echo 'make dist, test-dist: what a release has, and whether it installs (docs/releasing.md)'
	@echo 'make figures    compares with other tools, and with the last figures (FIGURES=--keep keeps them)'
	@echo 'make docs       the documentation as a site'

# What the tests need of the system.
prepare:
	./.ci/prepare

# The Python tools, in a folder of their own.
$(VENV)/ready: tests/requirements.txt
	./.ci/prepare
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --no-compile --disable-pip-version-check -r tests/requirements.txt
	touch $@

# Clippy runs twice, because every dependency is checked anew for other features of its own. The first run has all that there is:
# without the feature `internals` (src/lib.rs) less is found, not more, and `make wheel` compiles it so. The second has what stands
# in place of what is left out.
clippy:
	cargo clippy $(UNIFIED) --all-targets --features python -- -D warnings
	cargo clippy $(UNIFIED) --lib --no-default-features -- -D warnings

lint: lint-python clippy documentation

# Of the stub, the two files left out run for libraries that need newer Pythons themselves.
lint-python: $(VENV)/ready
	cargo fmt --check
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/mypy
	$(BIN)/vermin -t=2.6- -t=3.2- --no-tips --eval-annotations --violations --exclude-regex '/(environments|workers)\.py$$' bootstrap_py

# What the tests in Rust and the package are made of.
compiled:
	cargo test $(UNIFIED) --no-run

# Not four, as they count round trips and hosts beside each other; the last of them mostly wait.
rust: compiled
	RUST_TEST_THREADS=$$(($(PROCESSORS) + 1)) ./.ci/again rust cargo test $(UNIFIED) --no-fail-fast

# Also compares the public API with its list.
documentation:
	rm -rf $(TARGET)/doc/easycluster
	RUSTDOCFLAGS='-D warnings' cargo doc $(UNIFIED) --no-deps
	$(PYTHON) tests/public_api.py --target $(TARGET)

# The dev profile, so that what the tests have built is used again.
wheel: $(VENV)/ready compiled
	rm -rf $(WHEELS)
	$(BIN)/maturin build $(UNIFIED) --features python --profile dev --out $(WHEELS)
	$(BIN)/pip install -q --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl

# The tests in Python, each run with a record of failures of its own, as they may run at the same time.
python: stub package dask

stub: $(VENV)/ready
	./.ci/again pytest $(PYTEST) -o cache_dir=.pytest_cache/stub tests/stub tests/support

package: wheel
	./.ci/again pytest $(PYTEST) -o cache_dir=.pytest_cache/package tests/python

dask: wheel
	./.ci/again pytest $(PYTEST) -o cache_dir=.pytest_cache/dask tests/dask

test-busy:
	./.ci/busy 4 $(MAKE) test

test-bare:
	./.ci/bare

FUZZED := frames session routing pickle spec ssh_config known_hosts output files before_authentication
FUZZ_SECONDS ?= 60

# Each target for a minute, with coverage where nightly and cargo-fuzz are installed; then the decoder of pickles by its Python side.
fuzz: wheel
	if cargo +nightly fuzz --version >/dev/null 2>&1; then \
	    for target in $(FUZZED); do \
	        cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20; \
	    done; \
	else \
	    EASYCLUSTER_FUZZ_SECONDS=$(FUZZ_SECONDS) cargo test $(UNIFIED) --test rust fuzz:: -- --nocapture; \
	fi
	$(BIN)/python tests/python/fuzz_pickles.py 200000 $$RANDOM

bench:
	cargo bench --locked

clean:
	cargo clean
	rm -rf $(VENV)

include .ci/release.mk
