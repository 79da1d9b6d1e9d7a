# What people do here. `make` alone lists it.

CARGO ?= cargo

# Debian's packages that the tests talk to, and the program that shows each is there.
TEST_PACKAGES = rsyslog:rsyslogd nftables:nft valgrind:valgrind

# Rivals of the benches that are no crates: package, and a file of it.
BENCH_PACKAGES = libvectorscan-dev:/usr/include/hs/hs.h

.DEFAULT_GOAL := help
.PHONY: help test test-packages bench-packages fail2ban check instructions bench demo

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

test: test-packages fail2ban ## Install what the tests talk to, and run all of them
	$(CARGO) test -- --include-ignored
	@echo "fail2ban's own filters, our verdicts beside its own:"
	@$(CARGO) test --quiet --test it fail2ban::every_case -- --include-ignored --nocapture

check: ## Formatting and lints, as CI wants them
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

instructions: test-packages fail2ban ## Count what a line costs; UPDATE=1 writes the bound anew
	PORTCULLIS_INSTRUCTIONS_UPDATE=$(UPDATE) $(CARGO) bench --quiet --bench instructions

bench: bench-packages fail2ban ## Measure, beside rivals
	-$(CARGO) build --quiet --release --manifest-path benches/fail2ban-rs/Cargo.toml --target-dir target/fail2ban-rs
	$(CARGO) bench --features rivals --bench matching
	$(CARGO) bench --features rivals --bench fail2ban
	$(CARGO) bench --features rivals --bench ingest
	$(CARGO) bench --bench decide
	$(CARGO) bench --bench enforce
	$(CARGO) bench --bench restore

demo: ## See a gate fall, in namespaces of its own; needs no root
	$(CARGO) run --release -- demo

# fail2ban's own filters, unpacked beside the build: read by the tests, never installed, never ours.
fail2ban:
	@test -e target/fail2ban/etc/fail2ban/filter.d/sshd.conf || { \
		echo "make test: unpacking Debian's fail2ban"; \
		rm -rf target/fail2ban && mkdir -p target/fail2ban && cd target/fail2ban && \
		{ apt-get download --quiet fail2ban || { apt-get update --quiet && apt-get download --quiet fail2ban; }; } && \
		dpkg -x fail2ban_*.deb . ; }

# Only what is missing, so that a machine which has it all needs neither rights nor a network.
test-packages:
	@missing=; \
	for pair in $(TEST_PACKAGES); do \
		PATH="$$PATH:/usr/sbin:/sbin" command -v "$${pair#*:}" >/dev/null || missing="$$missing $${pair%:*}"; \
	done; \
	$(INSTALL)

bench-packages:
	@missing=; \
	for pair in $(BENCH_PACKAGES); do \
		test -e "$${pair#*:}" || missing="$$missing $${pair%:*}"; \
	done; \
	$(INSTALL)

define INSTALL
test -n "$$missing" || exit 0; \
install="apt-get install --yes --no-install-recommends$$missing"; \
if ! command -v apt-get >/dev/null; then \
	echo "make: please install$$missing; without apt-get I cannot" >&2; exit 1; \
elif test "$$(id -u)" = 0; then as=env; \
elif sudo -n true 2>/dev/null; then as="sudo -n env"; \
else \
	echo "make: not root, and sudo wants a password. Please run:" >&2; \
	echo "    sudo $$install" >&2; \
	echo "or, without what needs$$missing: cargo test, cargo bench" >&2; exit 1; \
fi; \
echo "make: installing$$missing"; \
$$as DEBIAN_FRONTEND=noninteractive apt-get update --quiet && \
$$as DEBIAN_FRONTEND=noninteractive $$install
endef
