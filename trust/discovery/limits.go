package discovery

import "time"

// Bounds on what comes from issuers, each with its reason (trust-protocol.md,
// section 9).
const (
	// maxBody of one document; live discovery documents have 2 to 8 KiB, key sets
	// 1 to 4 KiB.
	maxBody = 64 << 10
	// maxHeader of one response.
	maxHeader = 16 << 10
	// maxTime for all documents of one issuer: a caller may be waiting.
	maxTime = 5 * time.Second
	// maxRedirects within one origin.
	maxRedirects = 3
	// maxETag that is kept; a longer one is as good as none.
	maxETag = 256
	// maxAddress of a jwks_uri, as people's software bounds URLs.
	maxAddress = 512
	// maxClients kept for reuse: one for each CA and setting of private addresses.
	maxClients = 64
	// maxMetadataList is how many values of one list in the metadata are compared.
	maxMetadataList = 64
	// maxRequest of one request with a token, body and all: a UserInfo response with
	// hundreds of visas is gathered by the provider while it is asked.
	maxRequest = 10 * time.Second
	// freshEndpoints: providers move their endpoints once in years, and an operator
	// who waits for it will wait so long.
	freshEndpoints = 10 * time.Minute
	// staleEndpoints is how much longer they count while the document cannot be had:
	// a restart of the provider's front end, and no longer, for tokens go there.
	staleEndpoints = time.Hour
	// retryEndpoints after a failure, however many callers come.
	retryEndpoints = 30 * time.Second
	// maxEndpoints kept: more issuers than a site configures.
	maxEndpoints = 256
)
