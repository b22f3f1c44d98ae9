package idp

import "time"

const (
	// maxRequestBytes of one request: a token exchange with two large tokens fits.
	maxRequestBytes = 1 << 20
	// codeLife is short, as RFC 6749, section 4.1.2, recommends.
	codeLife = time.Minute
	// deviceLife is how long a person has for typing a user code.
	deviceLife = 10 * time.Minute
	// refreshLife is longer than any test waits.
	refreshLife = 30 * 24 * time.Hour
	// assertionLife bounds the exp of client assertions, and with it how long their
	// jti are remembered.
	assertionLife = 10 * time.Minute
	// proofAge is how old or early a DPoP proof may be (RFC 9449, section 11.1).
	proofAge = 5 * time.Minute
)
