# Works with GNU make and with the make 3.81 of macOS. Needs Go; what else is
# needed is found or installed by what the targets run.

GO        ?= go
GOFMT     ?= "$$($(GO) env GOROOT)/bin/gofmt"
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TESTFLAGS ?=
BENCH     ?= .
FUZZTIME  ?= 800000x
HISTORIES ?= 30000
SEED      ?= $(shell date +%s)
TROUBLED  ?= 3
OBJECTS   ?= 1000000
ROUNDS    ?= 100
REVISIONS ?= 10
VERSIONS  ?= 15 16 17 18
BENCHFLAGS ?=
HOSTILE ?= EveryHistory|Grace|Torn|Chunk|Odd

STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
# runner/testdata is a package that ./... passes over.
PACKAGES = ./... ./runner/testdata
# A private PostgreSQL beside a command, or the server of RELPACK_TEST_DSN.
WITHPG = $(GO) run -buildvcs=false ./runner/internal/pgtest/withpg
MEASURE = $(GO) run -buildvcs=false ./runner/internal/bench -objects $(OBJECTS)

.DEFAULT_GOAL := help
.PHONY: help build test test-matrix test-hostile histories demo interop soak bench bench-compare bench-extremes bench-peer bench-real bench-rounds bench-history bench-past bench-go fmt lint fuzz clean go

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: go ## build bin/relpack
	$(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/relpack ./cmd/relpack

# -count=1: Go's cache of results knows nothing of the server they came from.
test: go ## run the whole suite on a private PostgreSQL (or on that of RELPACK_TEST_DSN)
	$(WITHPG) -- $(GO) test -count=1 -timeout 30m $(TESTFLAGS) ./...

# What has no tests of a server is the same on each: "make test" runs it. LEAVE_OUT is a
# regular expression for more packages.
LEAVE_OUT ?= ^$$
SERVED = $(shell $(GO) list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | awk '/runner.internal.(pgtest|packtest)/ && $$1 !~ "$(LEAVE_OUT)" { print $$1 }')
test-matrix: go ## run all tests of a server on several versions of PostgreSQL (VERSIONS="15 16 17 18")
	@for version in $(VERSIONS); do \
		echo "PostgreSQL $$version:"; \
		$(WITHPG) -version $$version -- $(GO) test -count=1 -timeout 30m $(TESTFLAGS) $(SERVED) || exit 1; \
	done

# The tests' own sessions live with it where they are opened by helpers, so that
# not every test can be among these.
test-hostile: go ## what packs do where a DBA has set whatever can be set for a database
	$(WITHPG) -- env RELPACK_HOSTILE=1 $(GO) test -count=1 -timeout 30m -run '$(HOSTILE)' -skip 'GraceMustSee' $(TESTFLAGS) \
		./runner/graph ./runner/pack ./runner/blobs ./runner/verify ./runner/schema ./runner/internal/model

demo: go ## pack a real sample database and show every step
	$(GO) run -buildvcs=false ./runner/internal/demo

# "make test" plays those of seeds 1 to 250 each time. One in three has troubles of
# others' making (tables altered, lost, locked by keys); TROUBLED=1: each has.
histories: SEED := $(SEED)
histories: SHARE ?= 1
histories: PLAY = RELPACK_SEED=$(SEED) RELPACK_HISTORIES=$$(($(1) / $(SHARE)))
histories: WITHPG += $(if $(ON),-version $(ON))
histories: go ## 3000 random histories against a model, as many of storages that keep history, new ones in each run (SEED=number; SHARE=5: a fifth; ON=18: on that PostgreSQL), and the mistakes that they must find
	@echo "histories of the seeds from $(SEED) on, beside those of make test, from 1 on"
	$(WITHPG) -- env $(call PLAY,3000) RELPACK_TROUBLED=$(TROUBLED) $(GO) test -count=1 -timeout 30m -run EveryHistory -v ./runner/internal/model
	$(WITHPG) -- env RELPACK_FAULT_HISTORIES=100 $(GO) test -count=1 -timeout 30m -run EveryFault ./runner/internal/model
	$(WITHPG) -- env $(call PLAY,2800) $(GO) test -count=1 -timeout 60m -run EveryTrim -v ./runner/internal/revision
	$(WITHPG) -- env RELPACK_FAULT_HISTORIES=100 $(GO) test -count=1 -timeout 60m -run EveryFault ./runner/internal/revision
	$(WITHPG) -- env $(call PLAY,200) $(GO) test -count=1 -timeout 30m -run EveryPackOfAHistory -v ./runner/internal/preserved
	$(WITHPG) -- env RELPACK_FAULT_HISTORIES=200 $(GO) test -count=1 -timeout 30m -run 'EveryFault|EveryMistake' ./runner/internal/preserved
	$(WITHPG) -- env $(call PLAY,20) $(GO) test -count=1 -timeout 30m -run EveryCheck -v ./runner/check

# How long a real application and relpack run side by side, in each of several shapes.
INTEROP ?= 10s
interop: go ## prove that relpack does no harm beside the real RelStorage, installed with pip (INTEROP=10s)
	$(WITHPG) -durable -extension repack -- env RELPACK_INTEROP=$(INTEROP) $(GO) test -count=1 -v -timeout 3h $(TESTFLAGS) ./runner/internal/interop

soak: go ## as many other histories as you like (HISTORIES=30000 SEED=number), then a long interop
	$(WITHPG) -- env RELPACK_HISTORIES=$(HISTORIES) RELPACK_TROUBLED=$(TROUBLED) RELPACK_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -run EveryHistory -v ./runner/internal/model
	$(WITHPG) -- env RELPACK_HISTORIES=$(HISTORIES) RELPACK_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -run EveryTrim -v ./runner/internal/revision
	$(WITHPG) -- env RELPACK_HISTORIES=$(HISTORIES) RELPACK_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -run EveryPackOfAHistory -v ./runner/internal/preserved
	$(WITHPG) -- env RELPACK_HISTORIES=$(HISTORIES) RELPACK_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -run EveryCheck -v ./runner/check
	$(MAKE) interop INTEROP=10m

bench: build ## measure relpack on a generated database (OBJECTS=1000000 BENCHFLAGS=-help)
	@mkdir -p .cache
	$(MEASURE) -json .cache/bench.json $(BENCHFLAGS)

bench-extremes: build ## measure relpack on deep, wide and dense graphs and on 100 packs in a row (OBJECTS=1000000)
	@mkdir -p .cache
	$(GO) run -buildvcs=false ./runner/internal/bench extremes -objects $(OBJECTS) -json .cache/bench-extremes.json $(BENCHFLAGS)

bench-compare: go ## print the ratios of the last make bench against a saved one (BASE=file)
	@test -n "$(BASE)" || { echo "usage: make bench-compare BASE=saved.json" >&2; exit 2; }
	$(GO) run -buildvcs=false ./runner/internal/bench compare "$(BASE)" .cache/bench.json

bench-peer: build ## run zodbpack beside relpack on one generated database (OBJECTS=1000000)
	@mkdir -p .cache
	$(MEASURE) -peer .cache/peer -json .cache/bench-peer.json $(BENCHFLAGS)

# A command line or an environment may give the seed; the one above is the date.
SITE = -objects $(OBJECTS) -seed $(if $(filter file,$(origin SEED)),1,$(SEED))
REAL = $(GO) run -buildvcs=false ./runner/internal/bench real $(SITE)
bench-real: build ## measure relpack and zodbpack on a site that RelStorage wrote (OBJECTS=1000000 SEED=1); kept in .cache
	@mkdir -p .cache
	$(REAL) -json .cache/bench-real.json $(BENCHFLAGS)

bench-rounds: build ## let such a site grow and change, and pack it, again and again (OBJECTS=1000000 ROUNDS=100 SEED=1)
	@mkdir -p .cache
	$(REAL) -rounds $(ROUNDS) -json .cache/bench-rounds.json $(BENCHFLAGS)

bench-history: OBJECTS := $(if $(filter file,$(origin OBJECTS)),20000,$(OBJECTS))
bench-history: ROUNDS := $(if $(filter file,$(origin ROUNDS)),20,$(ROUNDS))
bench-history: build ## measure relpack and zodbpack on a history-preserving site (OBJECTS=20000 ROUNDS=20 SEED=1); kept in .cache
	@mkdir -p .cache
	$(GO) run -buildvcs=false ./runner/internal/bench history $(SITE) -rounds $(ROUNDS) -json .cache/bench-history.json $(BENCHFLAGS)

bench-past: build ## measure relpack on a generated history-preserving storage (OBJECTS=1000000 REVISIONS=10, of each object)
	@mkdir -p .cache
	$(GO) run -buildvcs=false ./runner/internal/bench past -objects $(OBJECTS) -revisions $(REVISIONS) -json .cache/bench-past.json $(BENCHFLAGS)

bench-go: go ## run the Go benchmarks on a private PostgreSQL that flushes to disk (BENCH=regexp)
	$(WITHPG) -durable -- $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) ./...

fmt: go ## format the Go code
	$(GOFMT) -l -w .

lint: go ## gofmt, go vet and staticcheck
	@unformatted=$$($(GOFMT) -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "make fmt would change: $$unformatted" >&2; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(STATICCHECK) $(PACKAGES)

# So many inputs, half a minute or more: a time that runs out may be reported as a failure.
fuzz: go ## feed the pickle scanner with what nobody writes (FUZZTIME=800000x)
	$(GO) test ./runner/pickle -run '^$$' -fuzz FuzzScan -fuzztime $(FUZZTIME)

clean: ## remove what was built
	rm -rf bin .cache
	rm -f *.test *.prof

go:
	@command -v $(GO) >/dev/null 2>&1 || { \
		echo "relpack is built with Go: there is no '$(GO)' on PATH. Install it from https://go.dev/dl/" >&2; \
		exit 1; }
