package privacy_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/query/privacy"
	"github.com/candignode/candignode/trust/access"
)

func protect(threshold, individuals int, g query.Granularity, exact bool) string {
	answer := privacy.Floor{Threshold: threshold}.Protect("d", query.Raw{Individuals: individuals, Variants: int64(individuals)},
		access.Decision{Allow: true, Granularity: g, ExactCounts: exact})
	b, _ := json.Marshal(answer)
	return string(b)
}

func TestProtect(t *testing.T) {
	for _, c := range []struct {
		name        string
		individuals int
		granularity query.Granularity
		exact       bool
		want        string
	}{
		{"at the threshold", 10, query.Count, false, `{"dataset":"d","granularity":"count","exists":true,"count":10,"precision":"thresholded"}`},
		{"below it", 9, query.Count, false, `{"dataset":"d","granularity":"count","exists":false,"count":0,"precision":"thresholded"}`},
		{"yes at the threshold", 10, query.Boolean, false, `{"dataset":"d","granularity":"boolean","exists":true}`},
		{"yes below it", 9, query.Boolean, false, `{"dataset":"d","granularity":"boolean","exists":false}`},
		{"one, with a grant", 1, query.Count, true, `{"dataset":"d","granularity":"count","exists":true,"count":1,"precision":"exact"}`},
		{"none, with a grant", 0, query.Count, true, `{"dataset":"d","granularity":"count","exists":false,"count":0,"precision":"exact"}`},
		{"yes, with a grant", 1, query.Boolean, true, `{"dataset":"d","granularity":"boolean","exists":true}`},
		{"records are given as a count", 12, query.Record, false, `{"dataset":"d","granularity":"count","exists":true,"count":12,"precision":"thresholded"}`},
		{"no granularity, no count", 12, "", false, `{"dataset":"d","granularity":"","exists":true}`},
	} {
		if got := protect(10, c.individuals, c.granularity, c.exact); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever the threshold: below it every field is as for zero, at every
// granularity; at or above it, and with a grant, nothing is changed.
func TestBelowTheThresholdIsZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.IntRange(1, 50).Draw(t, "threshold")
		n := rapid.IntRange(0, 100).Draw(t, "individuals")
		g := rapid.SampledFrom([]query.Granularity{query.Boolean, query.Count, query.Record}).Draw(t, "granularity")
		got, zero := protect(threshold, n, g, false), protect(threshold, 0, g, false)
		if (got == zero) != (n == 0 || n < threshold) && g != query.Boolean {
			t.Fatalf("threshold %d, %d individuals: %s", threshold, n, got)
		}
		if n < threshold && got != zero {
			t.Fatalf("threshold %d: %d individuals give %s, none give %s", threshold, n, got, zero)
		}
		if n > 0 && protect(threshold, n, g, true) == protect(threshold, 0, g, true) {
			t.Fatalf("with a grant, %d individuals are hidden", n)
		}
	})
}

// A floor that was never set is not no floor.
func TestUnsetThreshold(t *testing.T) {
	for _, threshold := range []int{0, -1} {
		if got, want := protect(threshold, privacy.DefaultThreshold-1, query.Count, false), protect(10, 0, query.Count, false); got != want {
			t.Errorf("threshold %d: %s, want %s", threshold, got, want)
		}
	}
}

// The answer does not share its count with anything that changes later.
func TestAnswersDoNotShare(t *testing.T) {
	f, d := privacy.Floor{Threshold: 1}, access.Decision{Allow: true, Granularity: query.Count}
	a, b := f.Protect("d", query.Raw{Individuals: 5}, d), f.Protect("d", query.Raw{Individuals: 6}, d)
	if *a.Count != 5 || *b.Count != 6 {
		t.Errorf("%d, %d; want 5, 6", *a.Count, *b.Count)
	}
}
