package web

import "time"

// Bounds on what comes from outside, each with its reason. The size of a body is
// bounded by beacon.MaxBody.
const (
	// MaxHeaderBytes is for http.Server, which answers 431 beyond it: a
	// question's own parameters fit twice, ten visas would not, and are POSTed.
	// net/http adds 4 KiB of its own, so 8 KiB are read.
	MaxHeaderBytes = 4 << 10

	// bodyTimeout is how long a body may take to arrive: 1 MiB at 1 Mbit/s.
	bodyTimeout = 10 * time.Second
	// writeGrace is how long a written answer may take to leave, beyond the time
	// the question had.
	writeGrace = 15 * time.Second

	// defaultTimeout of one question, and how many are answered at once: each
	// holds a connection to every peer, and verifies passports.
	defaultTimeout    = 10 * time.Second
	defaultConcurrent = 64

	// recordTimeout bounds the recording of a refusal, which goes on when the
	// caller hangs up.
	recordTimeout = 5 * time.Second

	// busyRetry is what a caller is told to wait, in seconds, when too many
	// questions are being answered.
	busyRetry = "2"
	// providerRetry is the same, when an issuer cannot be asked: its trouble takes
	// longer than ours.
	providerRetry = "10"

	// maxRecorded bounds the digests in one record of a refusal: a URL can hold
	// hundreds of parameters.
	maxRecorded = 16
	// maxForm bounds a form, in bytes: a subject token, an actor token and a client
	// assertion of some kB each fit many times.
	maxForm = 64 << 10
)
