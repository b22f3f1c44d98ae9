package local

import "time"

// Bounds on one question's work, each with its reason.
const (
	// GraceAfterExpiry is how long a question that was let in may go on after
	// the access it relies on has ended (GA4GH Passport 1.2, "Token Revocation").
	GraceAfterExpiry = 60 * time.Second
	// MaxRecording is how long an answer waits for its audit records. A store
	// that takes longer is broken, and without a record there is no answer.
	MaxRecording = 10 * time.Second
	// DefaultParallel datasets are counted at once, over all questions: counting
	// is work for the processor, and a burst of scripts must not starve the rest.
	DefaultParallel = 8
	// MaxDetail in bytes, of a source's or the policy's error text in a record.
	MaxDetail = 300
)
