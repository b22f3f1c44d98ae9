package claims

import "time"

// Every bound on what comes from outside, with its reason.
const (
	// maxNames and maxSources bound what one response may point to: a person has a
	// handful of committees. Each source may cost a connection.
	maxNames   = 64
	maxSources = 16

	// maxJWTBytes bounds what a source signs: 200 visas with 4096-bit signatures take
	// about 500 kB.
	maxJWTBytes = 512 << 10

	// maxTokenBytes bounds an access token that an OpenID provider hands on. It must
	// fit one header line.
	maxTokenBytes = 8 << 10

	// maxShown bounds what is told of a name or source that came from outside, in
	// bytes.
	maxShown = 80

	// resolveTimeout is the overall deadline: somebody waits for an answer, and a
	// source that is down must not hold it up (passports.md, row 84).
	resolveTimeout = 5 * time.Second

	// failureLife is how long a source that failed is not asked again with the same
	// token (passports.md, row 83: no retry storm). Short, for it may be up again.
	failureLife = 30 * time.Second

	// maxFailures bounds the memory for failures: 150 bytes each.
	maxFailures = 4096
)
