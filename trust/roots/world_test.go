package roots

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

var now = time.Date(2026, time.November, 27, 12, 0, 0, 0, time.UTC)

// private gives the same key for the same number, so that a failure can be replayed.
func private(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("root key "), uint64(n)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(n int) ed25519.PublicKey {
	k, _ := private(n).Public().(ed25519.PublicKey)
	return k
}

func signers(numbers ...int) []crypto.Signer {
	list := make([]crypto.Signer, len(numbers))
	for i, n := range numbers {
		list[i] = private(n)
	}
	return list
}

func publics(numbers ...int) []ed25519.PublicKey {
	list := make([]ed25519.PublicKey, len(numbers))
	for i, n := range numbers {
		list[i] = public(n)
	}
	return list
}

func nodeOf(n int) Node {
	k, _ := KeyOf(public(n))
	return Node{ID: k.ID(), Key: k, Addrs: []string{"node.example.org:7946"}}
}

// The keys of the site that most tests are about.
const (
	rootKey = iota + 1
	nextKey
	afterKey
	nodeKey
	otherNode
	thiefKey
)

func content() Record {
	return Record{Name: "uhn", Display: "University Health Network", Nodes: []Node{nodeOf(nodeKey)},
		Issuers: []string{"https://idp.uhn.example.org/"}, ClientIDs: map[string][]string{"https://idp.uhn.example.org/": {"uhn-node"}}}
}

func site(t testing.TB) *Chain {
	t.Helper()
	c, err := Incept(content(), signers(rootKey), publics(nextKey), now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func update(t testing.TB, c *Chain, by int, change func(*Record)) *Chain {
	t.Helper()
	next, err := c.Update(change, signers(by), now)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func rotate(t testing.TB, c *Chain, by, next int, after trust.Digest) *Chain {
	t.Helper()
	rotated, err := c.Rotate(Rotation{After: after, Signers: signers(by), Next: publics(next)}, now)
	if err != nil {
		t.Fatal(err)
	}
	return rotated
}

func renamed(to string) func(*Record) { return func(r *Record) { r.Display = to } }
