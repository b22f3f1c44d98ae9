package roots

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/jose"
)

func TestSiteIsNamedByItsFirstRecord(t *testing.T) {
	c := site(t)
	if trust.SiteIDOf(Signed(c.Records()[0]).payloadOf()) != c.ID() {
		t.Error("the SiteID is not the digest of the first record")
	}
	moved := update(t, c, rootKey, func(r *Record) { r.Nodes = []Node{nodeOf(otherNode)} })
	rotated := rotate(t, moved, nextKey, afterKey, trust.Digest{})
	if moved.ID() != c.ID() || rotated.ID() != c.ID() {
		t.Error("the SiteID changed with the keys")
	}
	again, err := Open(rotated.Records())
	if err != nil || again.ID() != c.ID() || again.Digest() != rotated.Digest() {
		t.Errorf("the chain does not open again: %v", err)
	}
	if other, err := Incept(content(), signers(thiefKey), publics(nextKey), now); err != nil || other.ID() == c.ID() {
		t.Errorf("another root key makes the same site: %v", err)
	}
}

// Threat: a stolen node key. The owner names another node; whoever has the chain knows
// which one speaks for the site, and the old pin still finds the site.
func TestStolenNodeKeyIsReplacedByARootSignedUpdate(t *testing.T) {
	c := update(t, site(t), rootKey, func(r *Record) { r.Nodes = []Node{nodeOf(otherNode)} })
	if _, ok := c.Record().NodeKey(nodeOf(nodeKey).ID); ok {
		t.Error("the stolen key still speaks for the site")
	}
	if _, ok := c.Record().NodeKey(nodeOf(otherNode).ID); !ok || !c.HasNode(nodeOf(nodeKey).ID) {
		t.Error("the new key does not speak for the site, or the old pin finds nothing")
	}
	if before, ok := c.At(1, 0); !ok || before.Nodes[0].ID != nodeOf(nodeKey).ID {
		t.Error("what was said before is not known any more")
	}
	// The thief of the node's key cannot sign a record.
	if _, err := site(t).Update(renamed("thief"), signers(nodeKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("a node's key signed a site record: %v", err)
	}
}

// Threat: stolen root. The thief of today's root key can say what he likes, until the
// owner rotates with the keys that were committed to before; he cannot rotate himself.
func TestStolenRootCannotLockTheOwnerOut(t *testing.T) {
	c := site(t)
	mine := update(t, c, rootKey, renamed("mine"))
	stolen := update(t, c, rootKey, renamed("stolen"))
	for range 5 {
		stolen = update(t, stolen, rootKey, func(r *Record) { r.Nodes = []Node{nodeOf(thiefKey)} })
	}
	if _, err := stolen.Rotate(Rotation{Signers: signers(thiefKey), Next: publics(afterKey)}, now); !errors.Is(err, ErrRecord) {
		t.Errorf("the thief rotated to a key of his own: %v", err)
	}
	if _, err := stolen.Rotate(Rotation{Signers: signers(rootKey), Next: publics(afterKey)}, now); !errors.Is(err, ErrRecord) {
		t.Errorf("the thief rotated with today's key: %v", err)
	}
	back := rotate(t, mine, nextKey, afterKey, trust.Digest{})
	for _, seen := range []Standing{Stand(stolen).Join(Stand(back)), Stand(back).Join(Stand(stolen)), Stand(stolen).Join(Stand(mine)).Join(Stand(back))} {
		if seen.Chain().Digest() != back.Digest() || seen.Forked() {
			t.Errorf("the owner's rotation does not count: %v", seen.Forked())
		}
	}
	// The owner who only has the thief's chain at hand goes back to what he stands by.
	from := rotate(t, stolen, nextKey, afterKey, c.Digest())
	if from.Record().Nodes[0].ID != nodeOf(nodeKey).ID || len(from.Records()) != 2 {
		t.Error("the rotation kept what the thief said")
	}
}

// Pre-rotation: only keys whose digests stood in the record before can rotate, and as
// many as it asked for.
func TestRotationNeedsTheCommittedKeys(t *testing.T) {
	r := content()
	r.NextThreshold = 2
	c, err := Incept(r, signers(rootKey), publics(nextKey, afterKey, 20), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Rotation{
		"one of two":               {Signers: signers(nextKey), Next: publics(30)},
		"one committed, one not":   {Signers: signers(nextKey, thiefKey), Next: publics(30)},
		"the same keys again":      {Signers: signers(nextKey, afterKey), Next: publics(nextKey)},
		"no key to come":           {Signers: signers(nextKey, afterKey)},
		"more than there are":      {Signers: signers(nextKey, afterKey), Threshold: 3, Next: publics(30)},
		"after a record of nobody": {After: trust.DigestOf([]byte("x")), Signers: signers(nextKey, afterKey), Next: publics(30)},
	} {
		if _, err := c.Rotate(o, now); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err = c.Rotate(Rotation{Signers: signers(nextKey, afterKey), Threshold: 2, Next: publics(30)}, now)
	if err != nil || c.Record().Epoch != 2 || c.Record().Update != 0 {
		t.Fatalf("two of three: %v", err)
	}
	if _, err := c.Update(renamed("x"), signers(nextKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("one of two root keys updated: %v", err)
	}
	if _, err := c.Update(renamed("x"), signers(afterKey, nextKey), now); err != nil {
		t.Errorf("two of two: %v", err)
	}
}

func TestEveryThresholdIsAsked(t *testing.T) {
	for n := 1; n <= maxRoots; n++ {
		for threshold := 1; threshold <= n; threshold++ {
			var today, next []int
			for i := range n {
				today, next = append(today, 100+i), append(next, 200+i)
			}
			r := content()
			r.Threshold, r.NextThreshold = threshold, threshold
			c, err := Incept(r, signers(today...), publics(next...), now)
			if err != nil {
				t.Fatalf("%d of %d: %v", threshold, n, err)
			}
			if _, err := c.Update(renamed("x"), signers(today[:threshold]...), now); err != nil {
				t.Errorf("update by %d of %d: %v", threshold, n, err)
			}
			if threshold > 1 {
				if _, err := c.Update(renamed("x"), signers(today[:threshold-1]...), now); !errors.Is(err, ErrRecord) {
					t.Errorf("update by %d of %d, where %d must: %v", threshold-1, n, threshold, err)
				}
			}
		}
	}
}

// A signature more or less changes neither a record's digest nor what follows it.
func TestRecordIsItsPayload(t *testing.T) {
	c, err := Incept(content(), signers(rootKey, 50), publics(nextKey), now)
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Update(renamed("x"), signers(rootKey, 50), now)
	if err != nil {
		t.Fatal(err)
	}
	both := string(next.Newest())
	one, other, _ := strings.Cut(both, "~")
	for _, fewer := range []string{one, other, other + "~" + one} {
		again, err := c.Append(Signed(fewer))
		if err != nil || again.Digest() != next.Digest() {
			t.Errorf("%v", err)
		}
	}
	for name, bad := range map[string]string{"the same twice": one + "~" + one, "an empty one": both + "~", "none": ""} {
		if _, err := c.Append(Signed(bad)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other2, err := c.Update(renamed("y"), signers(50), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(Signed(one + "~" + string(other2.Newest()))); !errors.Is(err, ErrRecord) {
		t.Errorf("signatures over two records: %v", err)
	}
}

// resigned gives a record that is signed well and says what no record may.
func resigned(t *testing.T, c *Chain, by int, spoil func(map[string]any)) Signed {
	t.Helper()
	after, err := c.Update(renamed("next"), signers(rootKey), now)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(after.Newest().payloadOf(), &members); err != nil {
		t.Fatal(err)
	}
	spoil(members)
	payload, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := jose.SealBytes(Type, private(by), payload)
	if err != nil {
		t.Fatal(err)
	}
	return Signed(sealed)
}

func TestImpossibleRecordsAreRefused(t *testing.T) {
	c := site(t)
	text := func(n int) string { return strings.Repeat("x", n) }
	list := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = text(i + 1)
		}
		return out
	}
	root, _ := KeyOf(public(rootKey))
	for name, spoil := range map[string]func(map[string]any){
		"no name":                  func(m map[string]any) { delete(m, "name") },
		"a name that is none":      func(m map[string]any) { m["name"] = "UHN" },
		"control characters":       func(m map[string]any) { m["display"] = "a\nb" },
		"a long display name":      func(m map[string]any) { m["display"] = text(maxDisplayBytes + 1) },
		"another site":             func(m map[string]any) { m["site"] = strings.Repeat("a", 52) },
		"no site":                  func(m map[string]any) { delete(m, "site") },
		"another place":            func(m map[string]any) { m["u"] = 2 },
		"a leap of epochs":         func(m map[string]any) { m["e"] = 3 },
		"an epoch before":          func(m map[string]any) { m["e"] = 0 },
		"a counter without room":   func(m map[string]any) { m["u"] = maxCounter + 1 },
		"another record before":    func(m map[string]any) { m["prev"] = trust.DigestOf([]byte("x")).String() },
		"no record before":         func(m map[string]any) { delete(m, "prev") },
		"another threshold":        func(m map[string]any) { m["t"] = 2 },
		"threshold 0":              func(m map[string]any) { m["t"] = 0 },
		"other keys to come":       func(m map[string]any) { m["next"] = []string{string(nodeOf(thiefKey).ID)} },
		"no keys to come":          func(m map[string]any) { m["next"] = []string{} },
		"a key to come of no form": func(m map[string]any) { m["next"] = []string{"x"} },
		"none of the keys to come": func(m map[string]any) { m["nt"] = 0 },
		"no nodes":                 func(m map[string]any) { m["nodes"] = []any{} },
		"a node of another key":    func(m map[string]any) { m["nodes"] = []any{map[string]any{"node": nodeOf(thiefKey).ID, "key": root}} },
		"a node with the root key": func(m map[string]any) { m["nodes"] = []any{map[string]any{"node": root.ID(), "key": root}} },
		"an address without a port": func(m map[string]any) {
			n := nodeOf(nodeKey)
			n.Addrs = []string{"example.org"}
			m["nodes"] = []Node{n}
		},
		"too many addresses": func(m map[string]any) {
			n := nodeOf(nodeKey)
			n.Addrs = slices.Repeat(n.Addrs, maxAddrs+1)
			m["nodes"] = []Node{n}
		},
		"one node twice":              func(m map[string]any) { m["nodes"] = []Node{nodeOf(nodeKey), nodeOf(nodeKey)} },
		"too many issuers":            func(m map[string]any) { m["issuers"] = list(maxIssuers + 1) },
		"one issuer twice":            func(m map[string]any) { m["issuers"] = []string{"a", "a"} },
		"an empty issuer":             func(m map[string]any) { m["issuers"] = []string{""} },
		"an empty client id":          func(m map[string]any) { m["client_ids"] = map[string]any{"i": []string{""}} },
		"too many client ids":         func(m map[string]any) { m["client_ids"] = map[string]any{"i": list(maxClientIDs + 1)} },
		"a life of two years":         func(m map[string]any) { m["exp"] = now.AddDate(2, 0, 0).Unix() },
		"no life":                     func(m map[string]any) { m["exp"] = m["iat"] },
		"times in text":               func(m map[string]any) { m["exp"] = "2027" },
		"an end beyond all calendars": func(m map[string]any) { m["iat"], m["exp"] = int64(maxUnix-10), int64(maxUnix+10) },
		"a crit member":               func(m map[string]any) { m["crit"] = []string{"x"} },
		"roots that are no list":      func(m map[string]any) { m["roots"] = "x" },
	} {
		if name == "a crit member" {
			continue // it cannot even be signed here: jose has its test
		}
		if _, err := c.Append(resigned(t, c, rootKey, spoil)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Append(resigned(t, c, rootKey, func(m map[string]any) { m["later"] = "ignored" })); err != nil {
		t.Errorf("an unknown member: %v", err)
	}
	if _, err := c.Append(resigned(t, c, thiefKey, func(map[string]any) {})); !errors.Is(err, ErrRecord) {
		t.Errorf("signed by a stranger: %v", err)
	}
	if _, err := c.Append(resigned(t, c, thiefKey, func(m map[string]any) {
		k, _ := KeyOf(public(thiefKey))
		m["roots"] = []Key{k}
	})); !errors.Is(err, ErrRecord) {
		t.Errorf("signed by a root key that it brings itself: %v", err)
	}
}

func TestRecordsOfOtherSitesAndKindsAreRefused(t *testing.T) {
	c := site(t)
	other, err := Incept(content(), signers(thiefKey), publics(nextKey), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(update(t, other, thiefKey, renamed("x")).Newest()); !errors.Is(err, ErrRecord) {
		t.Errorf("another site's record: %v", err)
	}
	for name, records := range map[string][]Signed{
		"none":                  {},
		"an update first":       {update(t, c, rootKey, renamed("x")).Newest()},
		"the first twice":       {c.Newest(), c.Newest()},
		"two sites":             {c.Newest(), other.Newest()},
		"too many":              slices.Repeat([]Signed{c.Newest()}, MaxChain+1),
		"one that is too large": {Signed(strings.Repeat("a", MaxRecordBytes+1))},
		"what a rotation left behind": append(update(t, c, rootKey, renamed("x")).Records(),
			rotate(t, update(t, c, rootKey, renamed("x")), nextKey, afterKey, c.Digest()).Newest()),
	} {
		if _, err := Open(records); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sealed, err := jose.SealBytes("candig-head+jwt", private(rootKey), c.Newest().payloadOf())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]Signed{Signed(sealed)}); !errors.Is(err, ErrRecord) {
		t.Errorf("a head in place of a site record: %v", err)
	}
}

func TestChainIsBounded(t *testing.T) {
	c := site(t)
	for len(c.Records()) < MaxChain {
		c = update(t, c, rootKey, renamed("again"))
	}
	if _, err := c.Update(renamed("once more"), signers(rootKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("record %d: %v", MaxChain+1, err)
	}
	// A rotation that goes back makes room.
	if _, err := c.Rotate(Rotation{After: c.Records()[0].Digest(), Signers: signers(nextKey), Next: publics(afterKey)}, now); err != nil {
		t.Errorf("a rotation that leaves them behind: %v", err)
	}
}

func TestSiteThatLeftSaysNothingMore(t *testing.T) {
	left := update(t, site(t), rootKey, func(r *Record) { r.Left, r.Nodes = true, nil })
	if _, err := left.Update(func(r *Record) { r.Left, r.Nodes = false, []Node{nodeOf(nodeKey)} }, signers(rootKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("it came back by an update: %v", err)
	}
	if _, err := left.Rotate(Rotation{Signers: signers(nextKey), Next: publics(afterKey), Change: func(r *Record) {
		r.Left, r.Nodes = false, []Node{nodeOf(nodeKey)}
	}}, now); err != nil {
		t.Errorf("its owner cannot begin anew: %v", err)
	}
}

func TestRecordHoldsForItsTime(t *testing.T) {
	r := site(t).Record()
	for at, good := range map[time.Time]bool{
		now: true, now.Add(-Skew): true, now.Add(-Skew - time.Second): false,
		now.Add(defaultLife - time.Second): true, now.Add(defaultLife): false,
	} {
		if err := r.ValidAt(at); (err == nil) != good {
			t.Errorf("at %s: %v", at, err)
		}
	}
}

// What signs may be anything that signs with Ed25519, and nothing else.
func TestOnlyEd25519Signs(t *testing.T) {
	if _, err := Incept(content(), []crypto.Signer{oneByte{private(rootKey)}}, publics(nextKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("a signature of one byte: %v", err)
	}
	if _, err := Incept(content(), nil, publics(nextKey), now); !errors.Is(err, ErrRecord) {
		t.Errorf("no key: %v", err)
	}
	if _, ok := KeyOf(ed25519.PublicKey("short")); ok {
		t.Error("a short key")
	}
	if base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize) != 43 {
		t.Error("a key has another length than records say")
	}
}

type oneByte struct{ ed25519.PrivateKey }

func (o oneByte) Sign(_ io.Reader, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
	return []byte{1}, nil
}
