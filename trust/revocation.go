package trust

import "time"

// RevocationKind says what a Revocation is about.
type RevocationKind string

// The kinds of revocation.
const (
	RevokeIdentity RevocationKind = "identity" // everything of one (iss, sub)
	RevokeJTI      RevocationKind = "jti"      // tokens with this jti; of any issuer unless one is named
	RevokeToken    RevocationKind = "token"    // the token with this digest
	RevokeKey      RevocationKind = "key"      // everything that this key signed
	RevokeIssuer   RevocationKind = "issuer"   // everything of one issuer
)

// Revocation is this site's own word that something must not be relied on any
// more, whatever its issuer says (passports.md, row 62).
type Revocation struct {
	ID      string         `json:"id"`
	Kind    RevocationKind `json:"kind"`
	Issuer  string         `json:"iss,omitempty"`
	Subject string         `json:"sub,omitempty"`
	JTI     string         `json:"jti,omitempty"`
	Token   Digest         `json:"token,omitzero"`
	Key     string         `json:"key,omitempty"` // RFC 7638 thumbprint
	Why     string         `json:"why,omitempty"` // for the operator; printable
	Created time.Time      `json:"created"`
}

// Revocations is one consistent, immutable picture of what is revoked. A new
// picture has a higher Revision; whoever caches a verdict keeps it. The nil
// *Revocations revokes nothing. Looking something up does not depend on how much is
// revoked.
type Revocations struct {
	revision   uint64
	identities map[Identity]bool
	jtis       map[Identity]bool // (issuer or "", jti)
	tokens     map[Digest]bool
	keys       map[string]bool
	issuers    map[string]bool
}

// NewRevocations makes a picture of list.
func NewRevocations(revision uint64, list []Revocation) *Revocations {
	r := &Revocations{
		revision: revision, identities: map[Identity]bool{}, jtis: map[Identity]bool{},
		tokens: map[Digest]bool{}, keys: map[string]bool{}, issuers: map[string]bool{},
	}
	for _, one := range list {
		switch one.Kind {
		case RevokeIdentity:
			r.identities[Identity{one.Issuer, one.Subject}] = true
		case RevokeJTI:
			r.jtis[Identity{one.Issuer, one.JTI}] = true
		case RevokeToken:
			r.tokens[one.Token] = true
		case RevokeKey:
			r.keys[one.Key] = true
		case RevokeIssuer:
			r.issuers[one.Issuer] = true
		}
	}
	return r
}

// Revision rises with every change.
func (r *Revocations) Revision() uint64 {
	if r == nil {
		return 0
	}
	return r.revision
}

// Identity tells whether the person, or everybody of the issuer, is revoked.
func (r *Revocations) Identity(id Identity) bool {
	return r != nil && (r.identities[id] || r.issuers[id.Issuer])
}

// Person tells whether this very (iss, sub) is revoked, and not merely its issuer as
// a whole: the person then is nobody under any name that believed links join to it.
func (r *Revocations) Person(id Identity) bool { return r != nil && r.identities[id] }

// AnyPerson tells whether Person is true of anybody.
func (r *Revocations) AnyPerson() bool { return r != nil && len(r.identities) > 0 }

// JTI tells whether tokens of this issuer with this jti are revoked. No token
// without a jti is.
func (r *Revocations) JTI(issuer, jti string) bool {
	return r != nil && jti != "" && (r.jtis[Identity{issuer, jti}] || r.jtis[Identity{"", jti}])
}

// Token tells whether the token of exactly these bytes is revoked.
func (r *Revocations) Token(d Digest) bool { return r != nil && r.tokens[d] }

// AnyToken tells whether any token is revoked by its bytes: then spellings of a token
// other than the one that was revoked matter too.
func (r *Revocations) AnyToken() bool { return r != nil && len(r.tokens) > 0 }

// Key tells whether the key with this thumbprint is revoked.
func (r *Revocations) Key(thumbprint string) bool { return r != nil && r.keys[thumbprint] }

// Issuer tells whether the issuer is revoked as a whole.
func (r *Revocations) Issuer(issuer string) bool { return r != nil && r.issuers[issuer] }
