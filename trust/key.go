package trust

import (
	"crypto"
	"time"
)

// Key is one public key of one issuer. Two keys are the same key when their
// thumbprints are equal.
type Key struct {
	Thumbprint string // RFC 7638, SHA-256, base64url
	KeyID      string // kid; unique within its issuer only, never alone
	Algorithm  string // the JWK's alg, or "" if it named none
	Public     crypto.PublicKey
}

// BelievedKey is a key that this node accepts for an issuer, until a time.
type BelievedKey struct {
	Key
	// Until is when the evidence for the key grows stale (hard age). A check
	// at or after Until must not use the key, even if no event told the node.
	Until time.Time
}

// View is one consistent, immutable picture of what this node believes about
// every configured issuer. A new picture has a higher Revision; whoever caches a
// verdict keeps the Revision with it.
type View struct {
	Revision uint64
	Issuers  map[string]IssuerView
}

// IssuerView is one issuer's part of a View.
type IssuerView struct {
	Policy IssuerPolicy
	Keys   []BelievedKey
	// JWKSURI is where the issuer's own discovery document says its keys are;
	// "" if no document is held. A visa's jku may name it as well as those in
	// Policy.JKU.
	JWKSURI string
}

// Lookup gives the issuer's part, and false for an issuer that is not
// configured: such an issuer is not fetched, not verified, not trusted.
func (v *View) Lookup(issuer string) (IssuerView, bool) {
	if v == nil {
		return IssuerView{}, false
	}
	iv, ok := v.Issuers[issuer]
	return iv, ok
}
