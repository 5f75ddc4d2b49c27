# Everything that is done with this repository by hand or by its checks.
# `make` alone shows what there is.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-builtin-rules
.ONESHELL:
.DEFAULT_GOAL := help

# One set of flags for building, testing, vetting and linting: SQLite is C code
# that takes about 45 s to compile, and each set of flags compiles it anew.
#   sqlite_fts5      full text search in SQLite
#   -trimpath        no path of this machine in the program, so that two builds are the same
#   -buildvcs=false  the version is given by VERSION below, and by nothing else
export GOFLAGS := -tags=sqlite_fts5 -trimpath -buildvcs=false

# The nearest tag and the commit; "-dirty" when the work tree has changes.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# How long each fuzz function runs, and how long each soak does.
TIME     ?= 30s
DURATION ?= 10m

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

# ---- building -------------------------------------------------------------

.PHONY: build
build: ## build bin/banyan; two builds of one commit are the same bytes
	go build -ldflags '-X main.version=$(VERSION)' -o bin/banyan ./cmd/banyan

# exec: make passes SIGTERM on to the shell, which would end and leave the program behind.
.PHONY: demo
demo: build ## build and show a network of three tiers; Ctrl-C ends it and leaves nothing
	exec bin/banyan demo

# What generates: the code of the .proto files, the OpenAPI document, the clients.
GENERATORS := bin/tools/buf bin/tools/protoc-gen-go bin/tools/oapi-codegen clients/typescript/node_modules/.package-lock.json

.PHONY: gen
gen: $(GENERATORS) ## make the code of the .proto files, the OpenAPI document and its clients anew
	tools/generate

.PHONY: fmt
fmt: ## format all Go code
	gofmt -w .

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

# ---- testing --------------------------------------------------------------

# The packages whose tests do not link SQLite. The race detector would compile
# it once more, for code that is not Go and that it cannot look into.
RACE_PACKAGES = go list -test -f '{{$$sqlite := false}}{{range .Deps}}{{if eq . "github.com/mattn/go-sqlite3"}}{{$$sqlite = true}}{{end}}{{end}}{{if not $$sqlite}}{{.ImportPath}}{{end}}' ./... | sed -n 's/\.test$$//p'

# Real agents, servers and clients that the product is tried against.
.PHONY: peers
peers:
	@tools/peers

.PHONY: test
test: peers clients/typescript/node_modules/.package-lock.json ## run all tests, then those without SQLite again under the race detector
	go test -timeout 10m ./...
	go test -tags=sqlite_fts5,faults ./fault
	packages=$$($(RACE_PACKAGES)); [ -z "$$packages" ] || go test -race -timeout 10m $$packages

# DATA is a folder with recordings of real devices, in snmpsim's format, below snmp.
.PHONY: realdata
realdata: ## read the recordings of real devices in DATA and compare
	@[ -n "$(DATA)" ] || { echo 'realdata: say where the recordings are: make realdata DATA=folder' >&2; exit 1; }
	BANYAN_REALDATA="$$(realpath '$(DATA)')" go test -v -count 1 -timeout 30m -run '^TestRealData$$' ./devices/snmp

# Each with one worker, so that it can run beside other work; tools/fuzz --table makes a table of all runs.
.PHONY: fuzz
fuzz: ## run each fuzz function for TIME (30s); ONLY=pattern chooses functions, like ONLY='modbus Fuzz'
	@tools/fuzz '$(TIME)' $(if $(ONLY),'$(ONLY)')

# network is the program in topologies/soak; the others are tests. Several may run beside each other.
.PHONY: soak
soak: ## soak for DURATION (10m) with SEED (drawn): ONLY=network, or tests like ONLY=TestSoakCauses
	@if [ -z '$(ONLY)' ] || [ '$(ONLY)' = network ]; then
		program=$$(mktemp -d)
		trap 'rm -rf "$$program"' EXIT
		go build -o "$$program/soak" ./topologies/soak
		"$$program/soak" -for '$(DURATION)' $(if $(SEED),-seed '$(SEED)')
	fi
	[ '$(ONLY)' != network ] || exit 0
	tests=$$(tools/each-test '^TestSoak' | grep -E -- '$(ONLY)' || true)
	[ -n "$$tests" ] || { echo "soak: there is no soak called '$(ONLY)'" >&2; exit 1; }
	while read -r package name; do
		[ -n "$$package" ] || continue
		echo "$$package $$name for $(DURATION)"
		BANYAN_SOAK='$(DURATION)' go test -v -count 1 -timeout 0 -run "^$$name\$$" "$$package"
	done <<<"$$tests"

# The bars (P1, P2, ...) are measured by the program in topologies/bench, through
# real processes. Without it there are the benchmarks of single packages.
.PHONY: bench
bench: ## measure speed; ONLY=P1,P2 chooses bars
ifneq ($(wildcard topologies/bench),)
	go run ./topologies/bench $(if $(ONLY),-only '$(ONLY)')
else ifneq ($(ONLY),)
	@echo 'bench: nothing measures $(ONLY) yet; see docs/roadmap.md' >&2; exit 1
else
	go test -run '^$$' -bench . -benchmem ./...
endif

# ---- checking -------------------------------------------------------------

.PHONY: faults
faults: ## plant each fault and prove that its test turns red
	@tools/planted-faults

.PHONY: check
check: lint gen-check test faults ## all that must hold before a commit; what CI runs

.PHONY: lint
lint: bin/tools/golangci-lint bin/tools/buf ## check format, vet, lint
	@unformatted=$$(gofmt -l .)
	[ -z "$$unformatted" ] || { echo "not formatted (run 'make fmt'): $$unformatted" >&2; exit 1; }
	echo 'go vet, golangci-lint, buf lint'
	go vet ./...
	go vet -tags=sqlite_fts5,faults ./...
	bin/tools/golangci-lint run
	if [ -n "$$(find proto -name '*.proto' -print -quit 2>/dev/null)" ]; then bin/tools/buf lint; fi

.PHONY: gen-check
gen-check: $(GENERATORS) ## fail if something generated is stale
	tools/generate --check

# ---- tools ----------------------------------------------------------------

# Each tool has a module of its own under tools/, so that its dependencies and
# ours do not choose each other's versions. `touch` because the Go tool leaves
# a program alone that is already right, and make would ask again each time.
INSTALL_TOOL = GOFLAGS= GOBIN='$(CURDIR)/bin/tools' go -C tools/$(1) install tool && touch $@

.PHONY: tools
tools: bin/tools/golangci-lint bin/tools/buf bin/tools/protoc-gen-go bin/tools/oapi-codegen bin/tools/benchstat ## build the pinned tools into bin/tools

bin/tools/golangci-lint: tools/golangci/go.mod tools/golangci/go.sum
	$(call INSTALL_TOOL,golangci)

bin/tools/buf: tools/buf/go.mod tools/buf/go.sum
	$(call INSTALL_TOOL,buf)

# One module and one rule for the three plugins, which are installed together.
bin/tools/protoc-gen-go: tools/protoc/go.mod tools/protoc/go.sum
	$(call INSTALL_TOOL,protoc)

bin/tools/benchstat: tools/benchstat/go.mod tools/benchstat/go.sum
	$(call INSTALL_TOOL,benchstat)

bin/tools/oapi-codegen: tools/oapi/go.mod tools/oapi/go.sum
	$(call INSTALL_TOOL,oapi)

# The TypeScript client's tools, at the versions in its lock file. No script of a
# package is run. npm writes the file last.
clients/typescript/node_modules/.package-lock.json: clients/typescript/package.json clients/typescript/package-lock.json
	cd clients/typescript && npm ci && touch node_modules/.package-lock.json
