package roots

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

// defaultLife of a record that is signed here: a year, the most there is, less the
// clocks' difference.
const defaultLife = 365 * 24 * time.Hour

// Incept signs the first record of a site with all of today's root keys. content's
// names, nodes, issuers and client ids are taken, and Threshold and NextThreshold if they
// are not 0 (then 1); everything else is filled in.
func Incept(content Record, today []crypto.Signer, next []ed25519.PublicKey, now time.Time) (*Chain, error) {
	r := content
	r.Site, r.Epoch, r.Update, r.Prev, r.Left = "", 1, 0, trust.Digest{}, false
	r.Issued, r.Expires = now.Unix(), now.Add(defaultLife).Unix()
	r.Threshold, r.NextThreshold = max(r.Threshold, 1), max(r.NextThreshold, 1)
	var err error
	if r.Roots, err = publicHalves(today); err != nil {
		return nil, err
	}
	if r.Next, err = digestsOf(next); err != nil {
		return nil, err
	}
	signed, err := seal(r, today)
	if err != nil {
		return nil, err
	}
	return Open([]Signed{signed})
}

// Update signs the next record of the epoch, as change makes it of the newest one. Root keys
// cannot be changed by it.
func (c *Chain) Update(change func(*Record), signers []crypto.Signer, now time.Time) (*Chain, error) {
	r := c.last().next(c.id, now)
	r.Update++
	change(&r)
	return c.sealed(r, signers)
}

// Rotation is what a rotation is made of.
type Rotation struct {
	// After is the newest record that its owner stands by; later ones of the epoch are left
	// behind. Zero: the newest.
	After trust.Digest
	// Signers hold the keys that After committed to, and become the root keys of today.
	Signers []crypto.Signer
	// Next are the keys to come after those.
	Next          []ed25519.PublicKey
	Threshold     int // 0: 1
	NextThreshold int // 0: 1
	Change        func(*Record)
}

// Rotate signs the first record of the next epoch.
func (c *Chain) Rotate(o Rotation, now time.Time) (*Chain, error) {
	before := c.last()
	if !o.After.IsZero() {
		i := slices.IndexFunc(c.steps, func(s step) bool { return s.Epoch == before.Epoch && s.digest == o.After })
		if i < 0 {
			return nil, refuse("no record of epoch %d that is held has the digest %s", before.Epoch, o.After)
		}
		before = c.steps[i]
	}
	r := before.next(c.id, now)
	r.Epoch, r.Update = r.Epoch+1, 0
	r.Threshold, r.NextThreshold = max(o.Threshold, 1), max(o.NextThreshold, 1)
	var err error
	if r.Roots, err = publicHalves(o.Signers); err != nil {
		return nil, err
	}
	if r.Next, err = digestsOf(o.Next); err != nil {
		return nil, err
	}
	if o.Change != nil {
		o.Change(&r)
	}
	return c.sealed(r, o.Signers)
}

// sealed signs r and takes it as any other site would: nothing leaves that is refused.
func (c *Chain) sealed(r Record, signers []crypto.Signer) (*Chain, error) {
	signed, err := seal(r, signers)
	if err != nil {
		return nil, err
	}
	return c.Append(signed)
}

// seal writes the record once and has each key sign the same bytes.
func seal(r Record, signers []crypto.Signer) (Signed, error) {
	if len(signers) == 0 || len(signers) > maxRoots {
		return "", refuse("%d root keys to sign it with; 1 to %d are needed", len(signers), maxRoots)
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return "", refuse("it cannot be written: %w", err)
	}
	envelopes := make([]string, len(signers))
	for i, s := range signers {
		sealed, err := jose.SealBytes(Type, s, payload)
		if err != nil {
			return "", refuse("signing it: %w", err)
		}
		envelopes[i] = string(sealed)
	}
	return Signed(strings.Join(envelopes, "~")), nil
}

func publicHalves(signers []crypto.Signer) ([]Key, error) {
	keys := make([]Key, 0, len(signers))
	for _, s := range signers {
		k, ok := KeyOf(s.Public())
		if !ok {
			return nil, refuse("a root key is not an Ed25519 key")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func digestsOf(keys []ed25519.PublicKey) ([]trust.NodeID, error) {
	ids := make([]trust.NodeID, 0, len(keys))
	for _, public := range keys {
		k, ok := KeyOf(public)
		if !ok {
			return nil, refuse("a root key to come is not an Ed25519 key")
		}
		ids = append(ids, k.ID())
	}
	return ids, nil
}

// claimedRoots reads the root keys that a record names, before anything is verified:
// only to choose the keys to verify with.
func claimedRoots(signed Signed) ([]Key, error) {
	payload := signed.payloadOf() // bounds the size first
	if payload == nil {
		return nil, refuse("it is no envelope of at most %d bytes", MaxRecordBytes)
	}
	var claim struct {
		Roots []Key `json:"roots"`
	}
	if err := jose.Unmarshal(payload, &claim); err != nil {
		return nil, refuse("%w", err)
	}
	if len(claim.Roots) > maxRoots {
		return nil, refuse("it has %d root keys; at most %d are taken", len(claim.Roots), maxRoots)
	}
	return claim.Roots, nil
}
