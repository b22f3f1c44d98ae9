package trust

import "time"

// Identity is a person at an issuer. The pair is the identity: the same
// Subject at two issuers is two identities, and nothing else ever joins them
// (passports.md, row 42).
type Identity struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// IsZero tells whether nobody is named.
func (i Identity) IsZero() bool { return i == Identity{} }

// Visa is a visa that was verified and accepted: signature, form, times, and
// the scope of trust in its issuer and source. What it allows is for the policy
// to say.
type Visa struct {
	Identity // who the visa's issuer says it is about

	Type     string    `json:"type"`
	Value    string    `json:"value"`
	Source   string    `json:"source"`
	By       string    `json:"by,omitempty"`
	Asserted time.Time `json:"asserted"`
	Expires  time.Time `json:"expires"`

	Digest Digest `json:"digest"` // of the signed bytes
	KeyID  string `json:"key"`    // thumbprint of the verifying key

	// Person is the same for all identities that accepted links join, and for no
	// others: one of them, or the visa's own. Whoever combines visas of different
	// identities compares Person, and ends with PersonUntil besides.
	Person Identity `json:"person"`
	// PersonUntil is the least end of the links that Person rests on; zero if it
	// rests on none.
	PersonUntil time.Time `json:"person_until,omitzero"`
}

// The visa types of GA4GH Passport 1.2.
const (
	VisaAffiliationAndRole       = "AffiliationAndRole"
	VisaAcceptedTermsAndPolicies = "AcceptedTermsAndPolicies"
	VisaResearcherStatus         = "ResearcherStatus"
	VisaControlledAccessGrants   = "ControlledAccessGrants"
	VisaLinkedIdentities         = "LinkedIdentities"
)

// Caller is who asks, after every check: an anonymous caller is the zero
// Caller.
type Caller struct {
	Identity
	Visas []Visa
	// Until is the least expiry of the passports and of the evidence for their
	// keys. Each visa has an expiry of its own, and the policy takes the least over
	// those that it relies on. Zero for an anonymous caller.
	Until time.Time
	// Person, PersonUntil and Linked are what accepted links make of the caller:
	// see Visa. Linked leaves the caller's own identity out, and is sorted.
	Person      Identity
	PersonUntil time.Time
	Linked      []LinkedIdentity
	// Links are those that were believed, out of this request's visas: for the
	// stored map of linked identities.
	Links []Link
	// Supports names, for a visa that rests on others, the visas that its
	// conditions were met by and that linked it: for the audit record.
	Supports map[Digest][]Digest
	// Token is the access token that the caller came with; zero if with none. Only
	// the issuer that made it ever sees it.
	Token AccessToken
	// Origin is the site that vouches for having authenticated the caller, or
	// "" when the caller came to this node itself.
	Origin SiteName
	// Forwarding is the id of the forwarding that brought the caller's question; "" when it
	// came to this node itself. It stands with each decision.
	Forwarding string
	// Passports are the accepted passports, and Sets the visas that came otherwise.
	// Only forwarding opens them.
	Passports []Passport
	Sets      []VisaSet
	// Stays names those of Passports that hold something that may be an access token: a
	// visa in that form, or what is no JWT at all. They are good here and never travel.
	Stays []Digest
	// Unbound tells that a passport without aud was relied on; the audit
	// record says so.
	Unbound bool
	// TrustRevision is the View under which all this was decided.
	TrustRevision uint64
}

// Anonymous tells whether the caller showed no identity.
func (c Caller) Anonymous() bool { return c.Identity.IsZero() }
