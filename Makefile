# The commands that people use; .ci/run calls the same ones.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
CONCURRENT = ./federation/... ./trust/issuers ./trust/members ./trust/roots ./trust/passport ./trust/bearer ./trust/broker ./trust/claims ./trust/dac ./trust/discovery ./trust/oidc \
	./trust/polling ./trust/proof ./trust/policy ./store ./query/local ./query/source/variants ./node/... ./simulate ./simulate/idp ./simulate/cohort ./simulate/providers
FUZZTIME ?= 10s
SEEDS ?= 1000

.PHONY: build test race vet lint fuzz simulation mutants bench compose ci clean

build:
	CGO_ENABLED=0 go build -trimpath -o bin/candignode ./cmd/candignode

test:
	go test ./...

race:
	go test -race $(CONCURRENT)

vet:
	gofmt -l . | (! grep .)
	go vet ./...

lint: vet
	go run $(STATICCHECK) ./...

# Every fuzz target for FUZZTIME each.
fuzz:
	configs/ci/fuzz $(FUZZTIME)

# Many stories of one network, and each rule taken away: docs/simulation.md.
simulation:
	go test -count=1 -timeout 4h ./simulate/protocol -run 'Evidence|Identity|Roster|Forwarding' -seeds $(SEEDS)

mutants:
	go test -count=1 -timeout 4h ./simulate/protocol -run 'TestMutants$$' -mutants $(SEEDS) -v

# The table of docs/performance.md.
bench:
	go test -run '^$$' -bench . -benchtime 2s ./trust/... ./federation/... ./store ./query/... ./node/... ./simulate

compose:
	simulate/compose.sh

ci:
	.ci/run

clean:
	rm -rf bin
