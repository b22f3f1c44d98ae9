package policy_test

import (
	"testing"

	"github.com/candignode/candignode/configs"
	"github.com/candignode/candignode/trust/policy"
)

// The tests of the built-in policy are written in the policy's own language and
// stand beside it; an operator's copy takes them along.
func TestBuiltInPolicyPassesItsOwnTests(t *testing.T) {
	report, err := policy.Check(t.Context(), configs.Policy())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Tests) < 30 {
		t.Errorf("%d tests found: are they all there?", len(report.Tests))
	}
	for _, test := range report.Tests {
		if !test.Passed {
			t.Errorf("%s:%d: %s %s", test.File, test.Line, test.Name, test.Detail)
		}
	}
	if report.Coverage < 90 {
		t.Errorf("the tests cover %.1f %% of the policy's lines, want at least 90; not covered: %v", report.Coverage, report.NotCovered)
	}
	t.Logf("%d tests, %.1f %% of lines, not covered: %v", len(report.Tests), report.Coverage, report.NotCovered)
}
