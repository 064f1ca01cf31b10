# Targets beside the tests: other systems, what is handed out, the documentation, the figures. Part of the Makefile.

.PHONY: check-windows test-windows check-platforms check-msrv check-vendored check-here check-semver check-version lint-quick lint-workflows \
        advisories dist test-dist wheel-universal publish-crate figures

PLATFORMS := $(TARGET)/platforms
ON_PLATFORM = CARGO_TARGET_DIR=$(PLATFORMS) cargo
WINDOWS := x86_64-pc-windows-gnu

# A Rust for it, where rustup can get one.
define target
	rustup target list --installed | grep -qx $(1) || rustup target add $(1)
endef

# The library, the program and the package for Windows, to the linker. Needs x86_64-w64-mingw32-gcc (Debian: gcc-mingw-w64-x86-64).
check-windows:
	$(call target,$(WINDOWS))
	./.ci/prepare mingw
	$(ON_PLATFORM) clippy --locked --lib --bins --features python --target $(WINDOWS) -- -D warnings
	$(ON_PLATFORM) build --locked --bins --target $(WINDOWS)

# The program for Windows under Wine, with a real sshd of this machine.
test-windows: check-windows wheel
	./.ci/prepare wine
	EASYCLUSTER_WINDOWS_PROGRAM=$(abspath $(PLATFORMS))/$(WINDOWS)/debug/easycluster.exe \
	    EASYCLUSTER_TESTS_REQUIRE=wine $(PYTEST) tests/python/test_windows.py

# Other systems, as far as Rust alone can tell: C parts are left to a compiler that makes nothing, so nothing is linked.
check-platforms:
	for system in aarch64-apple-darwin x86_64-unknown-freebsd; do \
	    $(call target,$$system) && \
	    CC=$(CURDIR)/.ci/no-compiler AR=true CRATE_CC_NO_DEFAULTS=1 \
	    $(ON_PLATFORM) clippy --locked --lib --bins --target $$system -- -D warnings || exit 1; \
	done

MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
check-msrv:
	rustup toolchain list | grep -q '^$(MSRV)' || rustup toolchain install --profile minimal $(MSRV)
	CARGO_TARGET_DIR=$(TARGET)/msrv cargo +$(MSRV) check --locked --lib --bins

# The program from vendored sources, where no network is.
check-vendored:
	cargo vendor --locked --quiet $(TARGET)/vendor >$(TARGET)/vendored.toml
	CARGO_TARGET_DIR=$(TARGET)/vendored unshare --map-root-user --net \
	    cargo --config $(TARGET)/vendored.toml build --locked --offline --bins

# On a system that is neither Debian nor Windows: the library's own tests, and the program as far as it needs no sshd of a test.
check-here:
	cargo test --locked --lib
	cargo run --locked -- demo

# What programs for the last release see of the library is there still, or the version says otherwise.
check-semver:
	cargo semver-checks --version >/dev/null 2>&1 || cargo install --locked cargo-semver-checks
	cargo semver-checks --only-explicit-features --baseline-rev "$$(git describe --tags --abbrev=0 --match 'v*')"

# A tag, and what is built from it, have one number.
check-version:
	@test "$(TAG)" = "v$$(sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)"
	@grep -q "^## \[$(TAG:v%=%)\]" CHANGELOG.md

# What takes seconds, before each commit.
lint-quick: $(VENV)/ready
	cargo fmt --check
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)

advisories:
	cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny --locked check

# All comparisons, their changes since those in benches/figures.json, and the chart: an hour and more (FIGURES="--only files" takes one).
figures: $(VENV)/ready
	$(BIN)/maturin build --locked --profile dist --out $(TARGET)/figures/wheel
	cargo build --locked --profile dist --bin easycluster
	$(BIN)/python benches/figures.py $(TARGET)/figures/wheel/*.whl $(TARGET)/dist/easycluster $(FIGURES)

dist:
	./.ci/dist

test-dist:
	./.ci/bare-wheel

wheel-universal: $(VENV)/ready
	rustup target add aarch64-apple-darwin x86_64-apple-darwin
	$(BIN)/maturin build --locked --profile dist --strip --target universal2-apple-darwin --out dist

publish-crate:
	cargo publish --locked

.PHONY: docs
DOCS_TOOLS := $(TARGET)/docs-tools

$(DOCS_TOOLS)/ready: tests/requirements-docs.txt
	$(PYTHON) -m venv $(DOCS_TOOLS)
	$(DOCS_TOOLS)/bin/pip install -q --disable-pip-version-check -r tests/requirements-docs.txt
	touch $@

# The site, with every warning an error; the code of its pages is run by tests/python/test_pages.py.
docs: $(DOCS_TOOLS)/ready
	$(PYTHON) .ci/site.py $(TARGET)/pages
	NO_MKDOCS_2_WARNING=1 $(DOCS_TOOLS)/bin/mkdocs build --quiet --strict

lint-workflows: $(DOCS_TOOLS)/ready
	$(DOCS_TOOLS)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(DOCS_TOOLS)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(DOCS_TOOLS)/bin/zizmor --offline --quiet --min-severity medium .github
