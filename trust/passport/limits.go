package passport

import "time"

// Every bound on what comes from outside, with its reason.
const (
	// maxPassports is how many passports one request may show: a person has
	// one or two brokers.
	maxPassports = 10

	// maxPassportBytes: a passport of 100 ordinary visas takes about 165 kB, one
	// of 200 with 4096-bit signatures about 600 kB.
	maxPassportBytes = 1 << 20

	// maxRequestBytes bounds all passports of a request together.
	maxRequestBytes = 2 << 20

	// maxVisas bounds the visas of a request, and with them its signature
	// checks: 200 cost about 10 ms (RS256) or 25 ms (ES256) of one core.
	maxVisas = 200

	// maxVisaBytes: ordinary visas take 1.0 to 1.6 kB, one that links many
	// identities a few more.
	maxVisaBytes = 16 << 10

	// maxSets is how many sets of visas one request may bring besides passports: a
	// person has one or two brokers, and each a handful of claim sources.
	maxSets = 20

	// maxConditionBytes, maxAlternatives and maxClauses (of one visa, over all
	// alternatives) bound conditions: those of the standard's examples take three
	// clauses and 300 bytes.
	maxConditionBytes = 8 << 10
	maxAlternatives   = 32
	maxClauses        = 64

	// maxMatchSteps bounds the comparing of patterns in one request, in characters:
	// about 10 ms of one core. Ordinary conditions take a few thousand. Comparing a
	// clause with a visa takes stepsOfClause besides, whatever it wants.
	maxMatchSteps = 1 << 20
	stepsOfClause = 8

	// maxPairs bounds the identities that one LinkedIdentities visa links, and
	// maxLinks the links of a request, stored ones included: a person has a few.
	maxPairs = 32
	maxLinks = 256

	// confirmedFor is how long a visa that is an access token is good for from its
	// iat without a poll (GA4GH AAI 1.2, "Passport Clearinghouses", 5.2.2).
	confirmedFor = time.Hour

	// maxPolls is for how many such visas one request may make this site ask their
	// issuers: a person has a few.
	maxPolls = 20

	// maxReplacements is how many visas may come in the place of one that was
	// polled.
	maxReplacements = 50

	// maxTrace and maxTraces bound the lines of the decision traces of one visa and
	// of a request, maxNamed the visas that are named for one clause that is unmet.
	maxTrace  = 40
	maxTraces = 400
	maxNamed  = 3

	// maxRefreshes is for how many issuers one request may ask for fresh keys.
	// Each is configured, and has its own cool-down besides.
	maxRefreshes = 4

	// maxURLClaim is the bound on claims that are URLs, in characters (GA4GH
	// Passport 1.2, "URL Claims"); OpenID Connect Core, section 2, bounds sub
	// likewise.
	maxURLClaim = 255

	// maxLinkValue bounds the value of LinkedIdentities, a list of pairs, in
	// characters.
	maxLinkValue = 4096

	// maxShown bounds text of a token that was not accepted when it is told
	// to a person.
	maxShown = 80

	// leeway is how far iat and nbf may lie in the future, and asserted after
	// iat, for clocks that differ (RFC 7519, section 4.1.4). exp has none: a
	// token is expired when now equals exp.
	leeway = 30 * time.Second

	// maxTokenBytes bounds access tokens and ID tokens: real ones take 1 to 4 kB, and
	// the header of an HTTP request ends at 8 to 64 kB. Documents that hold visas are
	// bounded as passports are.
	maxTokenBytes = 16 << 10

	// maxFreshAge is how old an answer may be that this node has just been given:
	// room for clocks that differ and for a person who reads a consent page.
	maxFreshAge = 10 * time.Minute

	// maxUndated is how long a document without exp is good: as long as a visa that
	// is an access token is without being confirmed.
	maxUndated = time.Hour

	// defaultCacheEntries and defaultCacheBytes are used for zero Options:
	// about 400 bytes an entry.
	defaultCacheEntries = 16 << 10
	defaultCacheBytes   = 32 << 20
)

// noOrganization is the source of assertions that no organization makes; it
// vouches for nothing (GA4GH Passport 1.2, "source").
const noOrganization = "https://no.organization"

// The header types of passports and visas (GA4GH AAI 1.2, "Passport Format";
// GA4GH Passport 1.2, "typ").
const (
	passportType = "vnd.ga4gh.passport+jwt"
	visaType     = "vnd.ga4gh.visa+jwt"
	plainType    = "JWT"
	// accessType is for visas that are access tokens, and for no others.
	accessType = "at+jwt"
)
