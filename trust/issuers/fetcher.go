package issuers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// Fetcher fetches what an issuer publishes about its keys, under the rules of
// trust-protocol.md, section 9. It is called for configured issuers only, never
// for mode manual. prior is what is held from before; a document that the issuer
// says is unchanged is taken from there. An error means that nothing of this
// fetch may be used.
type Fetcher interface {
	Fetch(ctx context.Context, p trust.IssuerPolicy, prior Validators) (Fetched, error)
}

// Document is one fetched document with what its server says to ask for it again
// (RFC 9110, section 8.8.3).
type Document struct {
	Address string `json:"address"`
	ETag    string `json:"etag,omitempty"`
	Body    []byte `json:"body"`
}

// Validators are the documents that are held of an issuer.
type Validators struct {
	Discovery Document
	Sets      []Document
}

// Held gives the document from address, and false if none is held.
func (v Validators) Held(address string) (Document, bool) {
	for _, d := range append([]Document{v.Discovery}, v.Sets...) {
		if d.Address == address && len(d.Body) > 0 {
			return d, true
		}
	}
	return Document{}, false
}

// Fetched is one complete, consistent fetch of an issuer.
type Fetched struct {
	Discovery Document     // zero if the issuer's keys do not come by discovery
	JWKSURI   string       // from the discovery document; "" without one
	Metadata  trust.Digest // of the metadata that sites compare; zero without discovery
	Sets      []Document
	// HomeSite is the site that the issuer's own origin names as its home; "" if it names
	// none, or was not asked.
	HomeSite trust.SiteID
	Keys     []trust.Key // of all sets, sorted by thumbprint and kid; never empty
	Rejected []jose.RejectedKey
	// NotModified tells that the issuer confirmed every document held before.
	NotModified bool
}

// Validators gives what the next fetch is handed as prior.
func (f Fetched) Validators() Validators { return Validators{f.Discovery, f.Sets} }

// UsesDiscovery tells whether an issuer's keys are found through its discovery
// document. An issuer of visas only, whose key sets the operator listed, has none:
// GA4GH visa issuers need not be OpenID providers.
func UsesDiscovery(p trust.IssuerPolicy) bool {
	return len(p.JKU) == 0 || slices.ContainsFunc(p.Kinds, func(k trust.Kind) bool {
		return k != trust.KindVisa && k != trust.KindClaims
	})
}

// fetches tells whether this node asks the issuer itself. In mode quorum it does not: that is for a site that cannot, or
// will not. In mode home it does as far as it can, because the issuer's own origin says who its home is.
func fetches(p trust.IssuerPolicy) bool {
	return p.Mode != trust.ModeManual && p.Mode != trust.ModeQuorum
}

// ErrNoKeys is returned for key sets without one usable key. An issuer that
// publishes none is taken to be broken, not to have withdrawn them all
// (trust-protocol.md, section 7).
var ErrNoKeys = errors.New("the key set holds no usable key")

// KeysOf unites the keys of an issuer's sets. Each set must parse; the union is
// one issuer's and is never united with another's.
func KeysOf(p trust.IssuerPolicy, sets []Document) ([]trust.Key, []jose.RejectedKey, error) {
	var keys []trust.Key
	var rejected []jose.RejectedKey
	for _, set := range sets {
		parsed, bad, err := jose.ParseKeySet(set.Body, p.WaiveKeyUse)
		rejected = append(rejected, bad...)
		if err != nil {
			return nil, rejected, fmt.Errorf("key set %.200q: %w", set.Address, err)
		}
		for _, k := range parsed {
			if !slices.ContainsFunc(keys, func(o trust.Key) bool { return o.Thumbprint == k.Thumbprint && o.KeyID == k.KeyID }) {
				keys = append(keys, k)
			}
		}
	}
	// Each set is free of it, but two sets together can give one kid two keys.
	ambiguous := func(k trust.Key) bool {
		return k.KeyID != "" && slices.ContainsFunc(keys, func(o trust.Key) bool { return o.KeyID == k.KeyID && o.Thumbprint != k.Thumbprint })
	}
	var usable []trust.Key
	for _, k := range keys {
		if ambiguous(k) {
			rejected = append(rejected, jose.RejectedKey{KeyID: k.KeyID, Thumbprint: k.Thumbprint, Alarm: true,
				Why: "another key set of this issuer uses the same kid for another key"})
			continue
		}
		usable = append(usable, k)
	}
	keys = usable
	switch {
	case len(keys) == 0:
		return nil, rejected, ErrNoKeys
	case len(keys) > maxKeys:
		return nil, rejected, fmt.Errorf("the key sets hold %d keys; at most %d are taken", len(keys), maxKeys)
	}
	slices.SortFunc(keys, func(a, b trust.Key) int {
		return cmp.Or(strings.Compare(a.Thumbprint, b.Thumbprint), strings.Compare(a.KeyID, b.KeyID))
	})
	return keys, rejected, nil
}
