package policy

import "time"

// Bounds on what an operator's policy and its evaluation may cost, each with its
// reason.
const (
	// MaxFiles in a policy directory: the built-in policy has four.
	MaxFiles = 200
	// MaxFileBytes of one file. Longer ones are data in disguise, and data
	// comes with the input.
	MaxFileBytes = 1 << 20
	// MaxEvaluation of one decision. A sound policy needs microseconds; this
	// ends a runaway one before the caller's own deadline would.
	MaxEvaluation = 2 * time.Second
	// MaxRule in bytes, of the text a policy puts into the audit log.
	MaxRule = 500
	// MaxDetail in bytes, of an engine's error text in ours.
	MaxDetail = 300
	// MaxRemembered decisions in each of a Memory's two generations: more than
	// one node can answer within the second that they hold for, about 3 MB.
	MaxRemembered = 4096
	// MaxTests is the time that the tests of one policy may take together.
	MaxTests = time.Minute
)
