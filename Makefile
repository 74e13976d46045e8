# `make prove` is the main job, `make test` runs everything that CI runs. Both install what they need.

.PHONY: advisories example test prove install lab begin setup setup-test setup-prove generated style units sources drift layouts oracle panic-free fuzz bench bench-xen bench-guard boot-paths hammer guarded-dom0 initramfs-images debian-images guard-kernels example-check clean

FUZZ_SECONDS ?= 30
ORACLE_LINES ?= 1000000
export CARGO_TERM_PROGRESS_WHEN ?= never
# What a machine could not run is said at the end.
export NOT_RUN := $(CURDIR)/target/not-run

example: setup
	@tools/example

test: begin style generated units sources drift advisories layouts oracle panic-free example-check fuzz bench lab
	@if [ -s "$(NOT_RUN)" ]; then echo "make test: passed, but for what was not run:"; cat "$(NOT_RUN)"; \
	    else echo "make test: everything passed"; fi

begin:
	@mkdir -p target && : >"$(NOT_RUN)"

setup:
	@tools/setup

setup-test:
	@tools/setup test

setup-prove:
	@tools/setup prove

# Formatting, lints, documentation, licences.
style: setup-test
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --all-features -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --workspace --no-deps --all-features
	@tools/deny

# What is generated from policy/ is current.
generated: setup-test
	cargo xtask generate --check

units: setup-test
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo test --quiet --workspace --doc && cargo nextest run --workspace --all-features; \
	else \
	    cargo test --workspace --all-features; \
	fi

# Debian's Xen source, fetched with the machine's own package client.
sources: setup-test
	cargo xtask source --release trixie
	cargo xtask source --release bookworm

# policy/ speaks of exactly the options and the hypercalls that Xen has.
drift: sources
	cargo xtask drift --xen-tree "$$(cargo xtask source --release trixie)"
	cargo xtask drift --xen-tree "$$(cargo xtask source --release bookworm)"

# The releases that policy/advisories says have a fix, and what `sbat advise` says of Debian's Xen packages, against the changelogs of these.
advisories: setup-test
	cargo test --quiet -p lockdown-advisories --test debian_changelogs -- --ignored
	cargo test --quiet -p xen-lockdown --test sbat_advise -- --ignored

# policy/ says where things stand in the arguments of hypercalls as a compiler does.
layouts: sources
	cargo xtask layouts --xen 4.20 --xen-tree "$$(cargo xtask source --release trixie)"
	cargo xtask layouts --xen 4.17 --xen-tree "$$(cargo xtask source --release bookworm)"

# The engine reads text exactly as Xen's own parser does.
oracle: sources
	cargo run --quiet --release --package xtask -- oracle --xen-tree "$$(cargo xtask source --release trixie)" --lines $(ORACLE_LINES)

panic-free: setup-test
	cargo xtask panic-free

example-check: setup-test
	@tools/example --check

fuzz: setup-test
	@tools/fuzz $(FUZZ_SECONDS)

# Instructions per option, beside Xen's own parser; fails above a fifth of it. Then those of the guard's walk over a call.
bench: sources
	cargo xtask bench-parser --xen-tree "$$(cargo xtask source --release trixie)"
	cargo xtask bench-walker

# What lockdown costs Xen: builds it without and with, counts instructions of whole machines; a quarter of an hour the first time.
bench-xen: setup-prove
	cargo run --quiet --release -p lockdown-lab -- count

# What the guard costs dom0, against Linux's own driver: instructions of single calls and of xl; two minutes.
bench-guard: setup-prove
	cargo run --quiet --release -p lockdown-lab -- guard-cost

# Real machines under Secure Boot, attacked; minutes.
prove: setup-prove
	cargo run --quiet --release -p xen-lockdown -- prove

# The same with somebody else's attack beside the lab's own; the hooks in an older Xen; and what the desk says against what a booted, locked Xen did,
# and against what firmware and shim started.
lab: setup-test
	@mkdir -p target/extra
	gcc -static -O2 -o target/extra/lockdown-off examples/attack/lockdown-off.c
	cargo run --quiet --release -p xen-lockdown -- prove --extra-attacks target/extra
	cargo run --quiet --release -p xen-lockdown -- xen patch --tree "$$(cargo xtask source --release bookworm)" --output target/patches-4.17
	cargo test --quiet --release -p xen-lockdown --test agree -- --ignored --nocapture
	cargo test --quiet --release -p xen-lockdown --test same_as_firmware -- --ignored --nocapture

# Every way into Xen, booted, with each default that can be built in: five builds of Xen and forty machines.
boot-paths: setup-prove
	cargo test --quiet --release -p lockdown-lab --test boot_paths -- --ignored --nocapture

# A million random calls of the guard in a booted dom0, PV and then PVH, with the kernel's own checks on; half an hour.
hammer: setup-prove
	cargo run --quiet --release -p lockdown-lab -- hammer

# The guard with its raw path closed, at level confidentiality, and where a module is unloaded by force.
guarded-dom0: setup-prove
	cargo test --quiet --release -p lockdown-lab --test guarded_dom0 -- --ignored --nocapture

# The guard in front of what initramfs-tools and dracut make, with their shells asked for: a further Debian root and six machines, five minutes.
initramfs-images: setup-prove
	cargo test --quiet --release -p xen-lockdown --test initramfs_images -- --ignored --nocapture

# Every signed EFI binary of Debian 13, kernels among them, hashed and judged beside the tools of others, and then damaged: fetches half a gigabyte once, then takes two minutes.
debian-images: setup-test
	cargo test --quiet --release -p xen-lockdown --test debian_images -- --ignored --nocapture

# The guard on Debian's kernels, the newest in backports among them: by headers, by DKMS, in a tree, booted; and built into a small kernel, booted. An hour the first time.
guard-kernels: setup-prove
	cargo run --quiet --release -p lockdown-lab -- guard-kernels

PREFIX ?= /usr/local

# The command with its manual pages and completions, below PREFIX (and DESTDIR, for packages).
install: setup
	cargo build --quiet --release -p xen-lockdown
	@tools/install "$(DESTDIR)$(PREFIX)"

clean:
	rm -rf target fuzz/target
