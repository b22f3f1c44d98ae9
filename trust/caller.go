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
	// Origin is the site that vouches for having authenticated the caller, or
	// "" when the caller came to this node itself.
	Origin SiteName
	// Passports are the accepted passports. Only forwarding opens them.
	Passports []Passport
	// Unbound tells that a passport without aud was relied on; the audit
	// record says so.
	Unbound bool
	// TrustRevision is the View under which all this was decided.
	TrustRevision uint64
}

// Anonymous tells whether the caller showed no identity.
func (c Caller) Anonymous() bool { return c.Identity.IsZero() }
