package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/access"
)

// visaTypes evaluates which visa types the policy looks at. They are a constant of
// the policy: asked without an input and with one, it must say the same.
func visaTypes(ctx context.Context, compiler *ast.Compiler) ([]string, error) {
	ctx, done := context.WithTimeout(ctx, MaxEvaluation)
	defer done()
	query, err := rego.New(
		rego.Query("types := "+entryPoint+".visa_types"),
		rego.Compiler(compiler),
		rego.StrictBuiltinErrors(true),
		rego.GenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: visa_types: %w", ErrPolicy, err)
	}
	some := &Policy{words: newWords(), visaTypes: []string{trust.VisaControlledAccessGrants}}
	callers := some.sampleCallers()
	full := sampleInput(callers[len(callers)-1], sampleDatasets()[0], "count")
	var types []string
	for i, option := range []rego.EvalOption{rego.EvalInput(nil), rego.EvalParsedInput(some.value([]access.Input{full}))} {
		results, err := query.Eval(ctx, option)
		if err != nil {
			return nil, fmt.Errorf("%w: visa_types: %w", ErrPolicy, err)
		}
		if len(results) != 1 {
			return nil, fmt.Errorf("%w: visa_types is undefined; it must not depend on input", ErrPolicy)
		}
		value, _ := results[0].Bindings["types"].(ast.Value)
		found, ok := list(value)
		if !ok {
			return nil, fmt.Errorf("%w: visa_types: want a set of visa type names", ErrPolicy)
		}
		slices.Sort(found)
		found = slices.Compact(found)
		if i > 0 && !slices.Equal(types, found) {
			return nil, fmt.Errorf("%w: visa_types must not depend on input", ErrPolicy)
		}
		types = found
	}
	return types, nil
}

// sample is a made-up input. Callers in it were granted nothing that a policy
// can know of: issuer, source and value are under names that cannot exist.
type sample struct {
	caller string
	name   string // of caller, dataset and granularity
	input  access.Input
	// refuse tells that no policy may allow it.
	refuse bool
}

// trySamples evaluates the policy on callers, datasets and questions of every
// kind. An operator hears at start what would otherwise fail in front of a
// researcher, or not fail at all. Each sample caller is complained of once.
func (p *Policy) trySamples(ctx context.Context) error {
	var errs []error
	told := ""
	for _, s := range p.samples() {
		if s.caller == told {
			continue
		}
		said, err := p.evaluate(ctx, []access.Input{s.input})
		if err != nil { // no decision at all: the next samples would say the same
			return errors.Join(append(errs, fmt.Errorf("%w: sample input %q: %w", ErrPolicy, s.name, err))...)
		}
		ceilings := said[s.input.Dataset.ID].ceilings
		if s.refuse && len(ceilings) > 0 {
			err = fmt.Errorf("rule %.80q gives protected data to a caller who was granted none", ceilings[0].rule)
		} else {
			_, err = decision(s.input, said[s.input.Dataset.ID])
		}
		if err != nil {
			told = s.caller
			errs = append(errs, fmt.Errorf("%w: sample input %q: %w", ErrPolicy, s.name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return p.tryAllSamples(ctx)
}

// tryAllSamples asks about several datasets at once, as questions do: rules that
// hold for one can conflict for two.
func (p *Policy) tryAllSamples(ctx context.Context) error {
	for _, c := range p.sampleCallers() {
		var inputs []access.Input
		for _, d := range sampleDatasets() {
			inputs = append(inputs, sampleInput(c, d, query.Count))
		}
		if _, err := p.Decide(ctx, inputs); err != nil {
			return fmt.Errorf("%w: sample input \"%s, all datasets\": %w", ErrPolicy, c.name, err)
		}
	}
	return nil
}

type sampleCaller struct {
	name   string
	caller trust.Caller
	grants []access.Grant
	empty  bool // holds nothing that is alive and for the sample dataset
}

var sampleNow = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

const (
	sampleIssuer = "https://issuer.sample.invalid/"
	sampleSource = "https://committee.sample.invalid"
	sampleValue  = "https://committee.sample.invalid/datasets/1"
)

func (p *Policy) sampleCallers() []sampleCaller {
	person := trust.Identity{Issuer: sampleIssuer, Subject: "sample"}
	hour := sampleNow.Add(time.Hour)
	with := func(until time.Time, visas ...trust.Visa) trust.Caller {
		return trust.Caller{Identity: person, Until: until, Visas: visas}
	}
	visa := func(kind, value string, expires time.Time) trust.Visa {
		return trust.Visa{
			Identity: person, Type: kind, Value: value, Source: sampleSource, By: "dac",
			Asserted: sampleNow.Add(-time.Hour), Expires: expires, Digest: trust.DigestOf([]byte(kind + value + expires.String())),
		}
	}
	grant := func(until time.Time) []access.Grant {
		return []access.Grant{{ID: "sample-grant", Identity: person, Dataset: "sample", Created: sampleNow.Add(-time.Hour), Until: until}}
	}
	callers := []sampleCaller{
		{"anonymous", trust.Caller{}, nil, true},
		{"anonymous, forwarded", trust.Caller{Origin: "elsewhere"}, nil, true},
		{"anonymous with a visa", trust.Caller{Visas: []trust.Visa{visa(trust.VisaControlledAccessGrants, sampleValue, hour)}}, nil, true},
		{"anonymous with somebody's grant", trust.Caller{}, grant(hour), true},
		{"signed in, without visas", with(hour), nil, true},
		{"sign-in expired", with(sampleNow, visa(trust.VisaControlledAccessGrants, sampleValue, hour)), grant(hour), true},
		{"visa expired", with(hour, visa(trust.VisaControlledAccessGrants, sampleValue, sampleNow)), nil, true},
		{"visa for another dataset", with(hour, visa(trust.VisaControlledAccessGrants, sampleValue+"0", hour)), nil, true},
		{"visa with an empty value", with(hour, visa(trust.VisaControlledAccessGrants, "", hour)), nil, true},
		{"grant expired", with(hour), grant(sampleNow), true},
		{"visa that fits", with(hour, visa(trust.VisaControlledAccessGrants, sampleValue, hour)), nil, false},
		{"grant that fits", with(hour), grant(hour), false},
	}
	var each []trust.Visa
	for _, kind := range p.visaTypes {
		each = append(each, visa(kind, sampleValue, hour), visa(kind, "", hour), visa(kind, "@", hour))
	}
	return append(callers, sampleCaller{"visas of every type", with(hour, each...), grant(hour), false})
}

func sampleDatasets() []access.Dataset {
	by := []string{"dac"}
	return []access.Dataset{
		{ID: "sample-public", Level: access.Public},
		{ID: "sample-login", Level: access.Registered, RegisteredBy: access.ByLogin},
		{ID: "sample-visas", Level: access.Registered, RegisteredBy: access.ByVisas, Value: sampleValue},
		{ID: "sample-odd", Level: access.Registered},
		{ID: "sample", Level: access.Controlled, Value: sampleValue, Issuers: []string{sampleIssuer}, Sources: []string{sampleSource}, By: by},
		{ID: "sample-open-list", Level: access.Controlled, Value: sampleValue, By: by},
		{ID: "sample-no-value", Level: access.Controlled, By: by},
		{ID: "sample-no-level"},
	}
}

func sampleInput(c sampleCaller, d access.Dataset, g query.Granularity) access.Input {
	return access.Input{
		Now: sampleNow, Site: "sample", Caller: c.caller, Dataset: d, Grants: c.grants,
		Entity: query.GVariants, Granularity: g,
	}
}

func (p *Policy) samples() []sample {
	var all []sample
	for _, c := range p.sampleCallers() {
		for _, d := range sampleDatasets() {
			for _, g := range []query.Granularity{query.Boolean, query.Count, query.Record} {
				all = append(all, sample{
					caller: c.name,
					name:   fmt.Sprintf("%s, %s, %s", c.name, d.ID, g),
					input:  sampleInput(c, d, g),
					refuse: c.empty && level(d) == access.Controlled || c.caller.Anonymous() && level(d) != access.Public,
				})
			}
		}
	}
	return all
}
