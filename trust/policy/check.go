package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"
)

// Report is what Check found out about a policy that Load takes.
type Report struct {
	Revision  string       `json:"revision"`
	Files     []string     `json:"files"`
	VisaTypes []string     `json:"visa_types"`
	Tests     []TestResult `json:"tests"`
	// Coverage is how much of the policy's files the tests evaluate, in percent
	// of lines; NotCovered lists the others as file:line.
	Coverage   float64  `json:"coverage"`
	NotCovered []string `json:"not_covered,omitempty"`
}

// Passed tells whether every test passed.
func (r Report) Passed() bool {
	return !slices.ContainsFunc(r.Tests, func(t TestResult) bool { return !t.Passed })
}

// TestResult is one test_ rule of a *_test.rego file.
type TestResult struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail,omitempty"` // why it failed to run
}

// Check loads a policy as the node would and runs its tests. The error is Load's;
// a test that fails is no error but shows in the Report.
func Check(ctx context.Context, fsys fs.FS) (Report, error) {
	p, err := Load(ctx, fsys)
	if err != nil {
		return Report{}, err
	}
	r := Report{Revision: p.Revision(), Files: p.Files(), VisaTypes: p.VisaTypes()}
	files, err := readFiles(fsys)
	if err != nil {
		return r, err
	}
	policy, tests := split(files)
	if len(tests) == 0 {
		return r, nil
	}
	return r, r.run(ctx, policy, tests)
}

func (r *Report) run(ctx context.Context, policy, tests []file) error {
	ctx, done := context.WithTimeout(ctx, MaxTests)
	defer done()
	modules, err := parse(slices.Concat(policy, tests))
	if err != nil {
		return err
	}
	coverage := cover.New()
	results, err := tester.NewRunner().
		SetCompiler(newCompiler()).
		SetCoverageQueryTracer(coverage).
		RaiseBuiltinErrors(true).
		SetTimeout(MaxEvaluation).
		SetModules(modules).
		RunTests(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: tests: %w", ErrPolicy, err)
	}
	for result := range results {
		t := TestResult{Name: strings.TrimPrefix(result.Package, "data.") + "." + result.Name, Passed: result.Pass()}
		if result.Location != nil {
			t.File, t.Line = result.Location.File, result.Location.Row
		}
		if result.Error != nil {
			t.Detail = clip(result.Error.Error(), MaxDetail)
		}
		r.Tests = append(r.Tests, t)
	}
	for _, t := range tests { // the tests themselves do not count
		delete(modules, t.name)
	}
	found := coverage.Report(modules)
	lines := 0
	covered := 0
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		file := found.Files[name]
		if file == nil {
			continue
		}
		lines += file.CoveredLines + file.NotCoveredLines
		covered += file.CoveredLines
		for _, span := range file.NotCovered {
			r.NotCovered = append(r.NotCovered, fmt.Sprintf("%s:%d", name, span.Start.Row))
		}
	}
	if lines > 0 {
		r.Coverage = 100 * float64(covered) / float64(lines)
	}
	return errors.Join(context.Cause(ctx))
}
