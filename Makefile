# What people do here. `make` alone lists it.

CARGO ?= cargo

# Debian's packages that the tests talk to, and the program that shows each is there.
TEST_PACKAGES = rsyslog:rsyslogd nftables:nft

.DEFAULT_GOAL := help
.PHONY: help test test-packages fail2ban check bench demo

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

test: test-packages fail2ban ## Install what the tests talk to, and run all of them
	$(CARGO) test -- --include-ignored
	@echo "fail2ban's own filters, our verdicts beside its own:"
	@$(CARGO) test --quiet --test it fail2ban::every_case -- --include-ignored --nocapture

check: ## Formatting and lints, as CI wants them
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

bench: ## Measure
	$(CARGO) bench

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
	test -n "$$missing" || exit 0; \
	install="apt-get install --yes --no-install-recommends$$missing"; \
	if ! command -v apt-get >/dev/null; then \
		echo "make test: please install$$missing; without apt-get I cannot" >&2; exit 1; \
	elif test "$$(id -u)" = 0; then as=env; \
	elif sudo -n true 2>/dev/null; then as="sudo -n env"; \
	else \
		echo "make test: not root, and sudo wants a password. Please run:" >&2; \
		echo "    sudo $$install" >&2; \
		echo "or, without the tests that need$$missing: cargo test" >&2; exit 1; \
	fi; \
	echo "make test: installing$$missing"; \
	$$as DEBIAN_FRONTEND=noninteractive apt-get update --quiet && \
	$$as DEBIAN_FRONTEND=noninteractive $$install
