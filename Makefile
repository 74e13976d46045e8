# `make example` shows the main job, `make test` runs everything that CI runs. Both install what they need.

.PHONY: example test prove setup generated style units sources drift oracle panic-free fuzz bench example-check clean

FUZZ_SECONDS ?= 60
ORACLE_LINES ?= 1000000
export CARGO_TERM_PROGRESS_WHEN ?= never

example: setup
	@tools/example

test: setup style generated units sources drift oracle panic-free example-check fuzz bench
	@echo "make test: everything passed"

setup:
	@tools/setup

# Formatting, lints, documentation, licences.
style: setup
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --workspace --no-deps
	@tools/deny

# What is generated from policy/ is current.
generated: setup
	cargo xtask generate --check

units: setup
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace && cargo test --quiet --workspace --doc; \
	else \
	    cargo test --workspace; \
	fi

# Debian's Xen source, fetched with the machine's own package client.
sources: setup
	cargo xtask source --release trixie
	cargo xtask source --release bookworm

# policy/ speaks of exactly the options that Xen has.
drift: sources
	cargo xtask drift --xen-tree "$$(cargo xtask source --release trixie)"
	cargo xtask drift --xen-tree "$$(cargo xtask source --release bookworm)"

# The engine reads text exactly as Xen's own parser does.
oracle: sources
	cargo run --quiet --release --package xtask -- oracle --xen-tree "$$(cargo xtask source --release trixie)" --lines $(ORACLE_LINES)

panic-free: setup
	cargo xtask panic-free

example-check: setup
	@tools/example --check

fuzz: setup
	@tools/fuzz $(FUZZ_SECONDS)

# Instructions per option, beside Xen's own parser; figures, not a verdict.
bench: sources
	cargo xtask bench-parser --xen-tree "$$(cargo xtask source --release trixie)"

# Real machines under Secure Boot, attacked. Needs mmdebstrap; minutes.
prove: setup
	cargo run --quiet --release -p xen-lockdown -- prove

clean:
	rm -rf target fuzz/target
