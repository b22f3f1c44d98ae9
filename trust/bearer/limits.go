package bearer

import "time"

// Every bound on what comes from outside, with its reason.
const (
	// maxTokenBytes bounds an access token: it comes in a header, and those end at 64
	// kB in all.
	maxTokenBytes = 32 << 10

	// maxDocumentBytes bounds UserInfo and introspection responses, and exchanged
	// passports: 200 visas with 4096-bit signatures take about 600 kB.
	maxDocumentBytes = 1 << 20

	// maxVisas bounds the visas that come with one token, and with them the signature
	// checks that follow; it is what the verifier takes in one request.
	maxVisas = 200

	// maxSubject is the bound of OpenID Connect Core 1.0, section 2, in characters.
	maxSubject = 255

	// maxLife is how long an issuer's answer is believed without asking again, however
	// late what it gave expires: what an issuer takes back ends here within that time.
	// Scripts show the same token thousands of times within minutes, so it cannot be
	// nothing.
	maxLife = 5 * time.Minute

	// maxTargetLife bounds how long a passport for a peer is handed out again. It is
	// the peer who refuses it once it has expired or was taken back.
	maxTargetLife = time.Hour

	// targetMargin is how long before its end a passport for a peer is not handed out
	// any more: it has to arrive there, and clocks differ by half a minute.
	targetMargin = time.Minute

	// refusalLife is how long a refused token is refused again without asking: it
	// seldom gets better, and a script that goes on must not hammer its issuer.
	refusalLife = 30 * time.Second

	// outageLife is how long an issuer that could not be asked about a token is not
	// asked about the same one again; also how soon claims whose source was down are
	// tried again.
	outageLife = 10 * time.Second

	// flightTimeout bounds all that is asked for one token: introspection, UserInfo and
	// claims one after the other.
	flightTimeout = 20 * time.Second

	// maxAsking is how many questions one issuer is asked at the same time: with fifty
	// peers one query may ask fifty. Further ones wait.
	maxAsking = 64

	// defaultCacheEntries and defaultCacheBytes are used for zero Options. A record
	// with 100 visas takes about 200 kB.
	defaultCacheEntries = 4 << 10
	defaultCacheBytes   = 64 << 20

	// maxRefusals bounds the memory for tokens that were refused, apart from that for
	// good ones: whoever sends rubbish pushes out rubbish only.
	maxRefusals = 4 << 10

	// recordBytes is what a record takes besides its text.
	recordBytes = 600
)

// The URNs and types of a token exchange for a passport (GA4GH AAI 1.2, "Passport
// Issuers"; RFC 8693, section 2.2.1; passports.md, row 76).
const passportTokenType = "urn:ga4gh:params:oauth:token-type:passport"

// The scopes of a passport-scoped access token (GA4GH AAI 1.2).
const (
	scopeOpenID   = "openid"
	scopePassport = "ga4gh_passport_v1"
)

// passportClaim is the claim that holds visas (GA4GH Passport 1.2, "Passport Claim").
const passportClaim = "ga4gh_passport_v1"

// sessionPrefix begins this node's own session tokens. One that was shown in the
// wrong place must not be sent to an issuer as if it were opaque.
const sessionPrefix = "cgs_"
