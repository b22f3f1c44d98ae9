package oidc

import "time"

// Bounds on what providers send, and on what is sent to them, each with its reason.
const (
	// maxTime of one request with its answer: a researcher's question waits for it.
	maxTime = 10 * time.Second
	// maxDocument of a UserInfo, introspection, claims or exchange answer: as much as
	// trust/passport reads of all passports of one request together.
	maxDocument = 2 << 20
	// maxTokens of an answer of the token endpoint at sign-in: three tokens, and those
	// of some providers carry hundreds of groups.
	maxTokens = 256 << 10
	// maxSmall of an answer that says an error, or how to sign in on another device.
	maxSmall = 16 << 10
	// maxMetadata of a discovery document; live ones have 2 to 8 KiB.
	maxMetadata = 64 << 10
	// maxAddress of an endpoint, as people's software bounds URLs.
	maxAddress = 512
	// maxRetryAfter that is reported: a provider that asks for more is asked again
	// then all the same.
	maxRetryAfter = time.Hour
	// maxExpiresIn of a token, in seconds: ten years, so that no sum overflows.
	maxExpiresIn = 10 * 365 * 24 * 60 * 60
	// assertionLife of a client assertion: it is used at once, and clocks differ a
	// little.
	assertionLife = time.Minute
	// randomBytes of state, nonce and jti: 128 bits, as RFC 9700 and OpenID Connect
	// take for unguessable.
	randomBytes = 16
	// maxDeviceWait for a person to sign in, on this machine or another.
	maxDeviceWait = 15 * time.Minute
	// maxInterval between two questions whether the person has signed in: a provider
	// that asks for more keeps the person waiting for nothing.
	maxInterval = time.Minute
	// maxUserCode is what a person can be asked to type.
	maxUserCode = 64
	// maxCode of an authorization code, which comes in a URL.
	maxCode = 4096
)
