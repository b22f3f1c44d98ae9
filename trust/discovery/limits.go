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
)
