// Package policy decides what a caller may have, by rules in Rego that the
// operator can read and replace. It is the only package that knows the engine.
//
// The invariant: a decision is a pure function of the access.Input and the
// policy's files. Whatever is not clearly an allow is none: an error, an odd
// type, a ceiling that relies on what was not handed in, an expired one, and any
// allow of protected data to nobody in particular.
package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/candignode/candignode/trust/access"
)

// ErrDecision is wrapped by every error of a decision that the policy is to
// blame for. There is no decision then, so nothing is allowed.
var ErrDecision = errors.New("policy gave no decision")

// Policy is a compiled policy. It is immutable and safe for concurrent use.
type Policy struct {
	query     prepared
	words     words
	revision  string
	visaTypes []string // sorted
	files     []string // sorted
}

// Load compiles the .rego files of fsys; *_test.rego are left out. Its errors wrap
// ErrPolicy and name file and line where there is one. It refuses a policy that
// lacks its entry points, calls what could make a decision impure, errs on the
// sample inputs, or gives protected data to a caller who was granted none.
func Load(ctx context.Context, fsys fs.FS) (*Policy, error) {
	files, err := readFiles(fsys)
	if err != nil {
		return nil, err
	}
	files, _ = split(files)
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: the directory holds no .rego file", ErrPolicy)
	}
	modules, err := parse(files)
	if err != nil {
		return nil, err
	}
	compiler, err := compile(modules)
	if err != nil {
		return nil, err
	}
	p := &Policy{revision: revision(files), words: newWords()}
	for _, f := range files {
		p.files = append(p.files, f.name)
	}
	if p.visaTypes, err = visaTypes(ctx, compiler); err != nil {
		return nil, err
	}
	if p.query, err = prepare(compiler); err != nil {
		return nil, err
	}
	if err := p.trySamples(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Revision is a digest of the policy's files, names and contents; decisions
// carry it.
func (p *Policy) Revision() string { return p.revision }

// Files gives the names of the policy's files, sorted.
func (p *Policy) Files() []string { return slices.Clone(p.files) }

// VisaTypes gives the visa types that the policy looks at, sorted. Visas of
// other types are not handed to it (GA4GH Passport 1.2, section 8.2).
func (p *Policy) VisaTypes() []string { return slices.Clone(p.visaTypes) }

// Decide decides about all datasets of one question in one evaluation. The
// inputs must agree in everything but the dataset and its grants. The decisions
// stand in the order of the inputs. An error means that there is no decision
// about any of them; it wraps ErrDecision, or the context's error if that ended
// the evaluation.
func (p *Policy) Decide(ctx context.Context, inputs []access.Input) ([]access.Decision, error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	if err := checkInputs(inputs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecision, err)
	}
	said, err := p.evaluate(ctx, inputs)
	if err != nil {
		return nil, err
	}
	decisions := make([]access.Decision, len(inputs))
	for i, in := range inputs {
		if decisions[i], err = decision(in, said[in.Dataset.ID]); err != nil {
			return nil, fmt.Errorf("%w: dataset %q: %w", ErrDecision, in.Dataset.ID, err)
		}
		decisions[i].PolicyRevision = p.revision
	}
	return decisions, nil
}

// evaluate asks the engine, and takes apart what it said for each dataset.
func (p *Policy) evaluate(ctx context.Context, inputs []access.Input) (map[string]verdict, error) {
	ctx, done := context.WithTimeoutCause(ctx, MaxEvaluation, fmt.Errorf("%w: over %v", ErrDecision, MaxEvaluation))
	defer done()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ceilings, missing, err := p.query.run(ctx, p.value(inputs))
	switch {
	case topdown.IsCancel(err) || err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrDecision, clip(err.Error(), MaxDetail))
	}
	said, err := verdicts(inputs, ceilings, missing)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecision, err)
	}
	return said, nil
}

// expired tells whether something that ends at until is over. What ends now has
// ended (RFC 7519, section 4.1.4).
func expired(until, now time.Time) bool { return !now.Before(until) }

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
