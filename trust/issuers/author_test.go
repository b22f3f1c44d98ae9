package issuers

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

const testNetwork = "test network"

// signer is a site whose node signs whatever a test wants, honest or not.
type signer struct {
	pin
	private ed25519.PrivateKey
}

func newSigner(site trust.SiteName) signer {
	seed := sha256.Sum256([]byte("node key of " + site))
	key := ed25519.NewKeyFromSeed(seed[:])
	node, err := trust.NodeIDOf(key.Public())
	if err != nil {
		panic(err) // an Ed25519 key always has one
	}
	return signer{pin{testNetwork, site, node}, key}
}

func (s signer) public() ed25519.PublicKey { return s.private.Public().(ed25519.PublicKey) }

func (s signer) seal(typ string, payload any) string {
	envelope, err := jose.Seal(typ, s.private, payload)
	if err != nil {
		panic(err)
	}
	return string(envelope)
}

func (s signer) siteRecord(e, u int64, ids map[string][]string) siteRecord {
	return siteRecord{Net: s.net(), Site: s.site, Node: s.node, Key: encodeKey(s.public()), ClientIDs: ids,
		Epoch: e, Update: u, Issued: noon.Unix(), Expires: noon.Add(siteLife).Unix()}
}

func (s signer) obs(issuer string, at time.Time, names ...string) string {
	o := sees(s.site, at, issuer, names...).Observations[0]
	return s.seal(typObs, obsRecord{s.net(), o.Issuer, issuer + "/jwks", trust.Digest{}, o.Thumbprints, at.Unix(), trust.Digest{}, ""})
}

// head makes a head of nothing but a site record.
func (s signer) head(e, u, ver int64, prev trust.Digest, note string) signedHead {
	h := Head{Net: s.net(), Epoch: e, Update: u, Version: ver, Prev: prev, Root: trust.DigestOf([]byte(note)), Count: 1,
		Issued: noon.Unix(), Expires: noon.Add(maxLife).Unix()}
	return seal(h, []byte(s.seal(typHead, h)))
}

// bundle makes a whole, consistent bundle; bend changes the head before it is
// signed.
func (s signer) bundle(e, u, ver int64, prev trust.Digest, bend func(*Head), records ...string) wireBundle {
	return s.bundleWith(s.siteRecord(e, u, nil), ver, prev, bend, records...)
}

func (s signer) bundleWith(site siteRecord, ver int64, prev trust.Digest, bend func(*Head), records ...string) wireBundle {
	w := wireBundle{Of: s.node, Site: s.seal(typSite, site), Records: records}
	hashes := []trust.Digest{trust.DigestOf([]byte(w.Site))}
	for _, r := range records {
		hashes = append(hashes, trust.DigestOf([]byte(r)))
	}
	h := Head{Net: s.net(), Epoch: site.Epoch, Update: site.Update, Version: ver, Prev: prev, Root: rootOf(hashes), Count: len(hashes),
		Issued: noon.Unix(), Expires: noon.Add(maxLife).Unix()}
	if bend != nil {
		bend(&h)
	}
	w.Head = s.seal(typHead, h)
	return w
}

// Heads must fit one gossip message for the longest site name and counters.
func TestHeadFitsOneMessage(t *testing.T) {
	s := newSigner(trust.SiteName(strings.Repeat("x", 63)))
	h := Head{Net: s.net(), Epoch: 999_999, Update: 999_999, Version: maxCounter, Prev: trust.DigestOf(nil), Root: trust.DigestOf(nil),
		Count: MaxRecords + 1, Issued: 1 << 33, Expires: 1<<33 + int64(maxLife/time.Second)}
	if n := len(s.seal(typHead, h)); n > MaxHeadBytes {
		t.Errorf("a head takes %d bytes; gossip carries %d", n, MaxHeadBytes)
	}
}

func TestHeadTimes(t *testing.T) {
	a := newSigner("a")
	for offset, ok := range map[time.Duration]bool{
		0: true, skew: true, skew + time.Second: false, time.Hour: false, -MaxStale: true, -MaxStale - time.Second: false,
	} {
		b, _, err := a.bundle(1, 0, 1, trust.Digest{}, nil).verify(a.pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.site.Issued -= int64(maxSiteLife / time.Second / 2)
		if err := b.timely(noon.Add(-offset)); (err == nil) != ok {
			t.Errorf("a head %s ahead: %v", offset, err)
		}
	}
}

// line is an honest author's line of n heads, and what it would have been had the
// author forked at each of them.
func line(s signer, n int) (honest, forks []signedHead) {
	var prev trust.Digest
	for ver := int64(1); ver <= int64(n); ver++ {
		h := s.head(1, ver/3, ver, prev, "")
		honest = append(honest, h)
		forks = append(forks, s.head(1, ver/3, ver, prev, "other"))
		prev = h.hash
	}
	return honest, forks
}

func TestConflict(t *testing.T) {
	s := newSigner("a")
	honest, forks := line(s, 6)
	for i, a := range honest {
		for _, b := range honest {
			if conflict(a, b) {
				t.Errorf("honest heads %d and %d conflict", a.Version, b.Version)
			}
		}
		for j, b := range forks {
			// A forked head shows against its own twin, and against the honest successor
			// that names the twin.
			want := i == j || i == j+1
			if conflict(a, b) != want || conflict(b, a) != want {
				t.Errorf("honest %d, forked %d: conflict %v", a.Version, b.Version, !want)
			}
		}
	}
	if late := s.head(1, 0, 7, honest[5].hash, ""); !conflict(late, honest[5]) {
		t.Error("u fell within an epoch, and nobody minds")
	}
	if next := s.head(2, 0, 7, trust.Digest{}, ""); conflict(next, honest[5]) {
		t.Error("a new epoch conflicts with the old one")
	}
}

// picture is what matters of an author, for comparing two ways of getting there.
func picture(a *author) string {
	if a == nil {
		return "nothing"
	}
	p := a.place()
	return fmt.Sprint(p.Epoch, p.Update, p.Version, p.Hash, p.Forked)
}

// MergeIsJoin, MonotoneHeads, ForkDetected: any order and any repetition of the
// same heads ends in the same place, never falls on the way, and ends forked exactly
// if some two of the heads of the newest epoch conflict.
func TestMergeIsJoin(t *testing.T) {
	s := newSigner("a")
	honest, forks := line(s, 6)
	next := s.head(2, 0, 7, trust.Digest{}, "")
	pool := append(append(slices.Clone(honest), forks...), next, s.head(2, 0, 8, next.hash, ""), s.head(2, 0, 8, next.hash, "other"))
	merge := func(a *author, h signedHead) *author {
		return a.withBundle(s.pin, s.public(), &bundle{head: h})
	}
	rapid.Check(t, func(rt *rapid.T) {
		heads := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, len(pool), func(h signedHead) trust.Digest { return h.hash }).Draw(rt, "heads")
		var want *author
		for _, h := range heads {
			want = merge(want, h)
		}
		again := slices.Concat(heads, rapid.SliceOf(rapid.SampledFrom(heads)).Draw(rt, "again"))
		var got *author
		for _, h := range rapid.Permutation(again).Draw(rt, "order") {
			before := got.place()
			got = merge(got, h)
			if after := got.place(); after.lacks(before) {
				rt.Fatalf("it fell from %+v to %+v", before, after)
			}
		}
		if picture(got) != picture(want) {
			rt.Fatalf("one order gives %s, another %s", picture(want), picture(got))
		}
		epoch, forked := int64(0), false
		for _, a := range heads {
			epoch = max(epoch, a.Epoch)
		}
		for _, a := range heads {
			for _, b := range heads {
				forked = forked || a.Epoch == epoch && conflict(a, b)
			}
		}
		if got.forked() != forked || got.witness().Forked != forked {
			rt.Fatalf("forked %v, want %v", got.forked(), forked)
		}
	})
}

// Fork proofs and heads merge in any order too, and a higher epoch heals.
func TestForkProofJoins(t *testing.T) {
	s := newSigner("a")
	honest, forks := line(s, 3)
	proof := &forkProof{honest[1], forks[1]}
	healed := s.head(2, 0, 4, trust.Digest{}, "")
	steps := map[string]func(*author) *author{
		"head":   func(a *author) *author { return a.withBundle(s.pin, s.public(), &bundle{head: honest[2]}) },
		"proof":  func(a *author) *author { return a.withFork(s.pin, s.public(), proof) },
		"healed": func(a *author) *author { return a.withBundle(s.pin, s.public(), &bundle{head: healed}) },
	}
	for _, test := range []struct{ steps, want string }{
		{"head proof", "forked"}, {"proof head", "forked"}, {"proof proof head proof", "forked"},
		{"head proof healed", "healed"}, {"proof healed head", "healed"}, {"healed proof head", "healed"}, {"healed head proof", "healed"},
	} {
		var a *author
		for _, step := range strings.Fields(test.steps) {
			a = steps[step](a)
		}
		if got := map[bool]string{true: "forked", false: "healed"}[a.forked()]; got != test.want || a.epoch() != map[string]int64{"forked": 1, "healed": 2}[test.want] {
			t.Errorf("%s: %s in epoch %d", test.steps, got, a.epoch())
		}
	}
	for name, pair := range map[string][]string{
		"one head":            {string(honest[0].envelope)},
		"one head twice":      {string(honest[0].envelope), string(honest[0].envelope)},
		"two honest heads":    {string(honest[0].envelope), string(honest[1].envelope)},
		"another site's fork": {string(newSigner("b").head(1, 0, 1, trust.Digest{}, "").envelope), string(newSigner("b").head(1, 0, 1, trust.Digest{}, "x").envelope)},
	} {
		if _, err := openFork(pair, s.pin, s.public()); err == nil {
			t.Errorf("%s was taken as a proof", name)
		}
	}
}

// What is stored is what is read: verified again, and the same place.
func TestAuthorSurvivesTheStore(t *testing.T) {
	s := newSigner("a")
	b, key, err := s.bundle(1, 0, 1, trust.Digest{}, nil, s.obs(testIssuer, noon, "k")).verify(s.pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	var a *author
	a = a.withBundle(s.pin, key, b)
	a = a.withBundle(s.pin, key, func() *bundle {
		b, _, err := s.bundle(1, 0, 2, b.head.hash, nil, s.obs(testIssuer, noon, "l")).verify(s.pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}())
	forked := a.withHead(s.head(1, 0, 2, trust.Digest{}, "other"))
	for name, a := range map[string]*author{"head": a, "fork": forked} {
		d := (&state{}).draft(noon)
		d.saveAuthor(a)
		stored := d.save[keyAuthor+"a"]
		got, err := loadAuthor(stored, testNetwork, "a")
		if err != nil || picture(got) != picture(a) || len(got.history) != len(a.history) {
			t.Errorf("%s: %s, %v", name, picture(got), err)
		}
		if _, err := loadAuthor(stored, "another network", "a"); err == nil {
			t.Errorf("%s: read in another network", name)
		}
		if _, err := loadAuthor([]byte(strings.Replace(string(stored), string(s.node), string(newSigner("b").node), 1)), testNetwork, "a"); err == nil {
			t.Errorf("%s: read as another node's", name)
		}
	}
}

func TestRootDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		set := rapid.MapOf(rapid.String(), rapid.Just(true)).Draw(rt, "records")
		var hashes []trust.Digest
		for r := range maps.Keys(set) {
			hashes = append(hashes, trust.DigestOf([]byte(r)))
		}
		root := rootOf(hashes)
		if rootOf(rapid.Permutation(hashes).Draw(rt, "order")) != root || rootOf(append(hashes, trust.DigestOf([]byte("one more\x00")))) == root {
			rt.Fatal("the root depends on order, or not on content")
		}
	})
}
