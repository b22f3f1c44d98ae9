package mint

// Every bound, with its reason.
const (
	// minSecretBytes is the size of the hash that the secret keys (RFC 2104, section 3).
	minSecretBytes = 32

	// maxVisaBytes is what trust/passport reads of a visa.
	maxVisaBytes = 16 << 10

	// maxProbeBytes bounds the empty token that tries a key: a signature of the largest
	// RSA key takes about 1.4 kB.
	maxProbeBytes = 8 << 10

	// maxURLClaim is the bound on claims that are URLs, in characters (GA4GH Passport
	// 1.2, "URL Claims").
	maxURLClaim = 255
)
