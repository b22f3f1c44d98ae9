package trust

import "time"

// Link says that two identities are one person's: one pair out of one accepted
// LinkedIdentities visa (GA4GH Passport 1.2, "LinkedIdentities"). It holds as long as
// its issuer may say so: whoever keeps links asks again for each use.
type Link struct {
	A Identity `json:"a"` // the visa's own (iss, sub), so A.Issuer is who says so
	B Identity `json:"b"`

	Source string    `json:"source"`
	Visa   Digest    `json:"visa"` // the visa that says so
	KeyID  string    `json:"key"`  // thumbprint of the key that verified it
	Until  time.Time `json:"until"`
	// JTI and Asserted are the visa's, so that a revocation by jti and an age limit
	// that come later reach the link.
	JTI      string    `json:"jti,omitempty"`
	Asserted time.Time `json:"asserted,omitzero"`
}

// LinkedIdentity is a further identity of the caller.
type LinkedIdentity struct {
	Identity
	// Until is the end of the weakest link between the caller and this identity,
	// along the way that lasts longest.
	Until time.Time `json:"until"`
}

// VisaSet is a set of visas that a broker handed this node over a channel that
// proves who it is, and not in a passport: in a UserInfo response, or as an
// aggregated or distributed claim that this node resolved itself. It cannot be
// forwarded, because nothing in it shows a peer who the broker was.
type VisaSet struct {
	Identity            // whom the broker says the token is of
	Visas    []Passport // compact visas, byte-identical; secrets, as a passport is
	// Via is KindPassport for visas that Issuer vouches for (UserInfo,
	// introspection), KindClaims for those that a claim source handed to this node.
	// Without visas it is KindLogin: the caller is known, and nothing more.
	Via Kind
	// Until is the least expiry of all that the set was obtained with.
	Until time.Time
}

// Proven names the keys whose possession a caller proved in this very request.
type Proven struct {
	JKT string // RFC 7638 thumbprint of the key of a good DPoP proof; "" if there was none
	X5T string // base64url SHA-256 of the client's TLS certificate; "" if there was none
}

// Confirmation is a token's cnf claim: the key that its bearer must prove to hold
// (RFC 7800; RFC 9449, section 6.1; RFC 8705, section 3.1).
type Confirmation struct {
	JKT string `json:"jkt,omitempty"`
	X5T string `json:"x5t#S256,omitempty"`
}

// IsZero tells whether the token is bound to no key.
func (c Confirmation) IsZero() bool { return c == Confirmation{} }

// MetBy tells whether everything that the token is bound to was proven.
func (c Confirmation) MetBy(p Proven) bool {
	return (c.JKT == "" || c.JKT == p.JKT) && (c.X5T == "" || c.X5T == p.X5T)
}
