package jose

// Every bound on what comes from outside, with its reason.
const (
	// maxDepth bounds the nesting of any JSON read here. Real passports, visas
	// and key sets nest five deep; nesting costs stack and time before anything
	// is verified.
	maxDepth = 32

	// maxEnvelopeDepth is the protocol's own bound (trust-protocol.md, section 5).
	maxEnvelopeDepth = 8

	// maxEnvelopeHeaderBytes: {alg,kid,typ} with a 52 character NodeID takes
	// about 110 bytes; the rest is room for a long typ.
	maxEnvelopeHeaderBytes = 256

	// maxHeaderBytes bounds a token's decoded header. An x5c chain of three
	// certificates, which is read over and never used, fits.
	maxHeaderBytes = 8 << 10

	// maxKeyIDBytes bounds a kid: the longest seen at live issuers is a
	// thumbprint URN of 87 characters.
	maxKeyIDBytes = 255

	// maxTypeBytes bounds a typ; registered media types end at 127 characters
	// (RFC 6838, section 4.2).
	maxTypeBytes = 140

	// maxJKUBytes bounds a jku as other software bounds a URL that people type.
	maxJKUBytes = 1024

	// maxIssuerBytes bounds an iss, which chooses configuration before anything
	// is verified. URL claims end at 255 (GA4GH Passport 1.2, "URL Claims").
	maxIssuerBytes = 255

	// maxKeySetBytes and maxKeySetKeys bound a JWKS (trust-protocol.md, section
	// 9); live issuers publish one to six keys, about 2 KiB.
	maxKeySetBytes = 64 << 10
	maxKeySetKeys  = 32

	// minRSABits is the least of RFC 7518, section 3.3; maxRSABits keeps a
	// published key from making every verification expensive.
	minRSABits = 2048
	maxRSABits = 8192

	// maxNumericDate is 2^33 seconds, the year 2242: a value above it is a time
	// in milliseconds or an attack, not an expiry (passports.md, row 105).
	maxNumericDate = 1 << 33
)

// embeddedTypes are the media types of tokens that are verified with the key
// that they carry: a proof that its sender holds that key, and nothing else.
var embeddedTypes = []string{"dpop+jwt"}
