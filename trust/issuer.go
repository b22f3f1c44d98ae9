package trust

import (
	"slices"
	"strings"
	"time"
)

// Kind says what an issuer may sign for.
type Kind string

// The kinds of trust in an issuer.
const (
	KindLogin    Kind = "login"    // signs people in
	KindPassport Kind = "passport" // signs passports (a GA4GH broker)
	KindVisa     Kind = "visa"     // signs visas
	KindClaims   Kind = "claims"   // is a source of aggregated or distributed claims
)

// Mode says whose evidence decides which of an issuer's keys are believed
// (trust-protocol.md, section 7).
type Mode string

// The modes.
const (
	ModeManual       Mode = "manual"        // the keys in a file, nothing else
	ModeDirect       Mode = "direct"        // what this node fetched itself
	ModeQuorum       Mode = "quorum"        // what k witnesses observed
	ModeDirectQuorum Mode = "direct+quorum" // both
	ModeHome         Mode = "home"          // what the issuer's home site says
)

// IssuerPolicy is what this site trusts one issuer for: the operator's word,
// from the configuration. Evidence may inform it and never widen it.
type IssuerPolicy struct {
	// Issuer is compared code point by code point: no normalisation of slash,
	// case, port or IDN (OpenID Connect Discovery 1.0, section 4.3).
	Issuer string
	Kinds  []Kind
	Mode   Mode

	// Home is the site that the operator takes for the issuer's home, if its record and the
	// issuer's own origin say so, too. "": nobody.
	Home SiteName
	// Groups names the vantage of witnesses: those of one group count once. A witness that
	// is not named is a group of its own.
	Groups map[SiteName]string
	// NoContinuity believes a key set that has nothing in common with the one before at once.
	NoContinuity bool

	// Algorithms are those that keys of the issuer may be for; empty: all that the node takes.
	Algorithms []string

	Witnesses []SiteName // whose observations count; used by the quorum modes
	K         int        // how many of them are needed

	// ClientIDs are this site's own OIDC client ids at the issuer. They are
	// announced to peers and bind a passport's aud to this site.
	ClientIDs []string
	// PeerClientIDs are the peers' client ids at the issuer, as their operators
	// told this one. A peer that is named here has these and no others, whatever
	// it announces, and nobody else can claim them.
	PeerClientIDs map[SiteName][]string
	// AcceptUnboundFrom lists the sites from which a forwarded passport
	// without aud is taken all the same (binding ladder, L1).
	AcceptUnboundFrom []SiteName
	// RequireAud refuses passports without aud from direct callers too.
	RequireAud bool

	JKU           []string // key set addresses that visas may name
	VisaTypes     []string // the scope of the trust: types,
	Sources       []string // sources,
	ValuePrefixes []string // and prefixes of visa values; empty: any value

	ManualJWKS          []byte // mode manual: the pinned key set
	CAPEM               []byte // a private CA for the issuer's TLS; nil: the system's
	AllowPrivateAddress bool   // the issuer may stand on a private or loopback address
	AllowMissingKeyID   bool   // accept tokens without kid when exactly one key is usable
	WaiveKeyUse         bool   // take keys whose use or alg says encryption; visible and audited
	MaxStale            time.Duration

	// LinksFor lists the issuers about whose identities LinkedIdentities visas of
	// this issuer are believed, besides its own (link authority; passports.md, row
	// 47). Names of its own it may always join. Empty: nobody else's.
	LinksFor []string
	// MaxAssertedAge ends what a visa allows that long after its asserted, however
	// late its exp (maxAuthzTTL in GA4GH Passport 1.2, "Visa Expiry"). 0: no such end.
	MaxAssertedAge time.Duration
	// AccessTokenVisas takes visas in the deprecated form of an access token, and
	// polls for them.
	AccessTokenVisas bool

	Tokens TokenWay // how its access tokens become passports
	// OpaqueTokens says that an access token that is not a JWT is this issuer's. At
	// most one issuer of a configuration says so (passports.md, row 65).
	OpaqueTokens bool
	// ScopeArray takes scope as a JSON array, which the standard does not know.
	ScopeArray bool
	SignIn     bool     // people may sign in here with it
	Scopes     []string // asked for at sign-in
	Client     Client
	Endpoints  Endpoints // the operator's own word; "" leaves it to discovery
	Claims     ClaimSource
}

// Is tells whether the issuer is trusted for k.
func (p IssuerPolicy) Is(k Kind) bool { return slices.Contains(p.Kinds, k) }

// ScopeOf says why a visa of this type, source and value is outside what the
// issuer is trusted for, or "" if it is inside. Comparison is exact
// (GA4GH Passport 1.2, "value" and "source").
func (p IssuerPolicy) ScopeOf(visaType, source, value string) Reason {
	switch {
	case !slices.Contains(p.VisaTypes, visaType):
		return ReasonTypeOutOfScope
	case !slices.Contains(p.Sources, source):
		return ReasonUntrustedSource
	case len(p.ValuePrefixes) > 0 && !slices.ContainsFunc(p.ValuePrefixes, func(prefix string) bool {
		return strings.HasPrefix(value, prefix)
	}):
		return ReasonValueOutOfScope
	}
	return ""
}
