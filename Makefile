# Sluice. `make help` lists the targets.
#
# `sudo make` builds as the user who owns the checkout and tests as root with root's own caches, so it leaves no
# root-owned file behind: scripts/as-owner, scripts/as-root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Looked up when a recipe first needs it: help and clean work without Go.
GO = $(eval GO := $$(or $$(shell scripts/find-go),$$(error Go is missing or too old)))$(GO)
OWNER := scripts/as-owner
ROOT := scripts/as-root

export CGO_ENABLED := 0

MODULE := github.com/sluice-lb/sluice
VERSION = $(shell $(OWNER) git describe --tags --always --dirty 2>/dev/null)
LDFLAGS = -s -w -X $(MODULE)/internal/version.Version=$(VERSION)
GO_BUILD = $(OWNER) $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

# Compilers of the committed generated code; another version would change it.
CLANG := clang-14
CLANG_FORMAT := clang-format-14
PROTOC_VERSION := 3.21.12
C_SOURCES = $(wildcard */bpf/*.[ch])

# Tests that need no root: everything that is about values, not about the kernel.
UNIT_PACKAGES := ./lb/... ./document/... ./docs/... ./internal/... ./proto/... ./cmd/lbctl/... ./control/metrics/... ./control/web/...

# Flow counts of `make bench`.
BENCH_FLOWS := 100 1000000

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/lbd, bin/lbctl, bin/lbagent and bin/lbbench (needs Go alone)
	$(GO_BUILD) -o bin/ ./cmd/...

.PHONY: tools
tools:
	$(OWNER) $(GO) build -o bin/tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc \
		github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2

.PHONY: generate
generate: tools ## rebuild the generated code: API, BPF objects, captures
	@scripts/check-compilers $(CLANG) $(PROTOC_VERSION)
	@for package in proto xdp agent bench; do \
		if [[ -d $$package ]]; then echo "generate ./$$package"; $(OWNER) $(GO) generate ./$$package/...; fi; \
	done

.PHONY: fmt
fmt: ## format Go and C
	$(OWNER) $(GO) fmt ./...
	$(OWNER) $(CLANG_FORMAT) -i $(C_SOURCES)

.PHONY: lint lint-go lint-c lint-shell
lint: lint-go lint-c lint-shell ## check style, imports between packages, C format, shell scripts

lint-go: bin/tools/golangci-lint
	$(OWNER) bin/tools/golangci-lint run ./...

lint-c:
	$(CLANG_FORMAT) --dry-run -Werror $(C_SOURCES)

lint-shell:
	shellcheck scripts/* .ci/run

# The linter has a module of its own: its dependencies are no business of the load balancer.
bin/tools/golangci-lint: tools/golangci/go.mod
	@echo "building golangci-lint (some minutes the first time)"
	cd tools/golangci && $(CURDIR)/$(OWNER) $(GO) build -trimpath -o ../../bin/tools/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch -c $@

# A test skips where privilege or hardware is missing; CI and SLUICE_TEST_REQUIRE turn that into a failure. The lab's
# tests run the binaries in SLUICE_BIN.
.PHONY: test
test: need-root test-deps build ## run every test, the oldest kernel included (root; installs what is missing with apt)
	CI=true SLUICE_TEST_REQUIRE=1 SLUICE_BIN=$(CURDIR)/bin $(ROOT) $(GO) test -count=1 ./...
	$(MAKE) test-kernels KERNELS=5.10

# Says so before anything is built.
.PHONY: need-root
need-root:
	@(($$(id -u) == 0)) || { echo "make $(MAKECMDGOALS): needs root for namespaces and BPF (sudo make $(MAKECMDGOALS))" >&2; exit 1; }

.PHONY: test-deps
test-deps:
	@scripts/install-test-deps

.PHONY: test-unit
test-unit: ## run the tests that need no root
	$(OWNER) $(GO) test -count=1 $(UNIT_PACKAGES)

.PHONY: test-kernels
test-kernels: ## run the data plane's tests in emulated kernels (KERNELS="5.10 6.1 6.12 newest")
	@GO=$(GO) $(OWNER) scripts/test-kernels $(KERNELS)

.PHONY: check-generated
check-generated: generate ## fail when the committed generated code is not what `make generate` makes
	@scripts/check-generated

.PHONY: check
check: lint check-generated test ## what CI runs: lint, format, generated code, every test

.PHONY: demo
demo: need-root build ## raise the lab and show traffic, a new backend, a drain, a killed daemon (root; KEEP=1 leaves it up)
	$(GO_BUILD) -o bin/demo ./lab/demo
	$(ROOT) bin/demo $(if $(filter-out 0,$(KEEP)),-keep)

.PHONY: bench
bench: need-root build ## time the data plane at 100 and at 1,000,000 flows (root)
	@for flows in $(BENCH_FLOWS); do $(ROOT) bin/lbbench replay --flows $$flows; done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
