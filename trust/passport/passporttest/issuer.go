// Package passporttest is a pretend issuer of passports and visas: it makes
// keys, publishes their public halves and signs tokens that a node accepts if it
// is told to trust the issuer. Tests and demonstrations use it; a node never
// does.
package passporttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Issuer is a pretend issuer. It is safe for concurrent use.
type Issuer struct {
	URL string // iss, exactly
	JKU string // what its visas name as jku: URL and /jwks, without a second slash

	mu      sync.Mutex
	keys    []signingKey // published
	current signingKey   // signs
}

type signingKey struct {
	kid    string
	signer crypto.Signer
}

// ErrAlgorithm is returned for an algorithm other than RS256 and ES256.
var ErrAlgorithm = errors.New("no such algorithm: use RS256 or ES256")

// NewIssuer makes an issuer with one fresh key for RS256 (2048 bits) or ES256.
func NewIssuer(url, algorithm, kid string) (*Issuer, error) {
	i := &Issuer{URL: url, JKU: joinJWKS(url)}
	if err := i.Rotate(algorithm, kid); err != nil {
		return nil, err
	}
	return i, nil
}

// FromKey makes an issuer of an existing RSA or P-256 key.
func FromKey(url, kid string, signer crypto.Signer) (*Issuer, error) {
	i := &Issuer{URL: url, JKU: joinJWKS(url)}
	if err := i.use(signingKey{kid, signer}); err != nil {
		return nil, err
	}
	return i, nil
}

func joinJWKS(url string) string {
	if n := len(url); n > 0 && url[n-1] == '/' {
		return url + "jwks"
	}
	return url + "/jwks"
}

// Rotate makes a new key, publishes it beside the old ones and signs with it
// from now on. Withdraw ends the old ones.
func (i *Issuer) Rotate(algorithm, kid string) error {
	var signer crypto.Signer
	var err error
	switch algorithm {
	case jose.RS256:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return fmt.Errorf("%.80q: %w", algorithm, ErrAlgorithm)
	}
	if err != nil {
		return fmt.Errorf("key of %s: %w", i.URL, err)
	}
	return i.use(signingKey{kid, signer})
}

// use signs once at first, so that a key that cannot sign is found here and the
// methods that make tokens have no error to give.
func (i *Issuer) use(key signingKey) error {
	if key.signer == nil {
		return fmt.Errorf("key of %s: no key", i.URL)
	}
	if _, err := jose.Sign(jose.Header{KeyID: key.kid}, []byte("{}"), key.signer); err != nil {
		return fmt.Errorf("key of %s: %w", i.URL, err)
	}
	if _, err := jose.MarshalKeySet([]trust.Key{{Public: key.signer.Public()}}); err != nil {
		return fmt.Errorf("key of %s: %w", i.URL, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
	i.current = key
	return nil
}

// Withdraw stops publishing the keys with this kid. The current key goes on
// signing, published or not.
func (i *Issuer) Withdraw(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.DeleteFunc(i.keys, func(k signingKey) bool { return k.kid == kid })
}

// Keys are the published public keys, oldest first.
func (i *Issuer) Keys() []trust.Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	keys := make([]trust.Key, 0, len(i.keys))
	for _, k := range i.keys {
		key := trust.Key{KeyID: k.kid, Public: k.signer.Public(), Algorithm: jose.RS256}
		if _, ok := key.Public.(*ecdsa.PublicKey); ok {
			key.Algorithm = jose.ES256
		}
		if thumbprint, err := jose.Thumbprint(key.Public); err == nil {
			key.Thumbprint = thumbprint
		}
		keys = append(keys, key)
	}
	return keys
}

// KeySet is the published key set, a JWKS. It is nil only if a key was changed
// from outside.
func (i *Issuer) KeySet() []byte {
	text, err := jose.MarshalKeySet(i.Keys())
	if err != nil {
		return nil
	}
	return text
}

// View is what a node believes that has just read the key set, under a policy
// for this issuer. policy.Issuer is filled in if it is empty.
func (i *Issuer) View(policy trust.IssuerPolicy, until time.Time) trust.IssuerView {
	if policy.Issuer == "" {
		policy.Issuer = i.URL
	}
	view := trust.IssuerView{Policy: policy, JWKSURI: i.JKU}
	for _, key := range i.Keys() {
		view.Keys = append(view.Keys, trust.BelievedKey{Key: key, Until: until})
	}
	return view
}

// Sign signs any payload under any header with the current key. An empty kid is
// filled in.
func (i *Issuer) Sign(h jose.Header, payload []byte) string {
	i.mu.Lock()
	key := i.current
	i.mu.Unlock()
	if h.KeyID == "" {
		h.KeyID = key.kid
	}
	token, err := jose.Sign(h, payload, key.signer)
	if err != nil {
		return "" // no verifier takes it; use has seen this key sign
	}
	return token
}
