// Package query holds the question, the answer, and who can answer it.
//
// A question enters once, goes down once, comes up once: this site, one peer
// and everybody are three implementations of Asker. A site that does not answer
// is a Part with a status, never a missing Part.
package query

import (
	"context"

	"github.com/candignode/candignode/trust"
)

// Asker answers questions: for this site, for one peer, or for everybody.
//
// Ask returns an Answer with a Part for every site it speaks for, also when
// some of them failed; it returns an error only when no honest Answer exists (the
// request is invalid, or the answer could not be recorded). The deadline travels
// in ctx.
type Asker interface {
	Ask(ctx context.Context, caller trust.Caller, request Request) (Answer, error)
}

// Source is where one dataset's data lives. It gives raw counts: threshold,
// policy and audit stay above it, and a source can narrow but never widen.
// A Source is safe for concurrent use.
type Source interface {
	// Holdings describes what is loaded; it does no I/O.
	Holdings() Holdings
	// Resolve counts the distinct individuals that carry a variant which the
	// query names. Errors are errors: never an unfiltered or partial count.
	Resolve(ctx context.Context, q VariantQuery) (Raw, error)
}

// Holdings is what a Source has loaded.
type Holdings struct {
	Dataset     string   `json:"dataset"`
	Release     string   `json:"release"` // changes whenever the data does
	Assembly    Assembly `json:"assembly"`
	Individuals int      `json:"individuals"`
	Samples     int      `json:"samples"`
	Variants    int64    `json:"variants"`
}

// Raw is an unprotected result. It must pass query/privacy before it leaves.
type Raw struct {
	Individuals int   // distinct carriers
	Variants    int64 // distinct variants that matched
}
