// Package privacy decides how much of a raw count may leave the site
// (query.md, section 4). It is pure, and it is the only place where a query.Raw
// becomes a query.DatasetAnswer.
package privacy

import (
	"github.com/candignode/candignode/query"
	"github.com/candignode/candignode/trust/access"
)

// DefaultThreshold is what a Floor without a threshold uses: a floor that was
// never set must not be no floor. Ten individuals cost an attacker who holds the
// victim's genome 156 questions of yes or no instead of one.
const DefaultThreshold = 10

// Floor is the least number of distinct individuals that an answer may speak of.
type Floor struct {
	Threshold int // individuals; below it the answer is the same as for zero; less than 1: DefaultThreshold
}

// Protect makes what may leave from a raw count and the decision that allowed
// it. Below the threshold the answer equals the answer for zero in every field, at
// every granularity: exists obeys the threshold too. Callers with a controlled
// grant get exact answers.
func (f Floor) Protect(dataset string, raw query.Raw, decision access.Decision) query.DatasetAnswer {
	n, precision := int64(raw.Individuals), query.Exact
	if !decision.ExactCounts {
		precision = query.Thresholded
		threshold := f.Threshold
		if threshold < 1 {
			threshold = DefaultThreshold
		}
		if n < int64(threshold) {
			n = 0
		}
	}
	answer := query.DatasetAnswer{
		Dataset:     dataset,
		Granularity: query.Least(decision.Granularity, query.Count),
		Exists:      n > 0,
	}
	if answer.Granularity == query.Count {
		answer.Count, answer.Precision = &n, precision
	}
	return answer
}
