package issuers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// ownHead signs a head as this site's own node would.
func ownHead(d *Desk, h Head) signedHead {
	s := signer{pin{d.network, d.site, d.node}, d.key}
	h.Net, h.Count, h.Issued, h.Expires = s.net(), 1, noon.Unix(), noon.Add(maxLife).Unix()
	return seal(h, []byte(s.seal(typHead, h)))
}

// Section 10: what a head of this site's own, shown by somebody else, means. Only one
// that this node does not know, and that its own key signed, raises the epoch; and then
// beyond everything that was shown.
func TestOwnHeadsShownByOthers(t *testing.T) {
	const epoch, version = 3, 7 // where the node is
	for name, test := range map[string]struct {
		shown Head
		raise int64
	}{
		"an older one":                         {Head{Epoch: 3, Version: 4}, 0},
		"an older one of an epoch before":      {Head{Epoch: 2, Version: 90}, 0},
		"the one before, with another content": {Head{Epoch: 3, Version: 6}, 4}, // the newest names another as its past
		"a twin of the newest":                 {Head{Epoch: 3, Version: 7}, 4},
		"a newer one":                          {Head{Epoch: 3, Version: 8}, 4},
		"a much newer one":                     {Head{Epoch: 3, Version: 900}, 4},
		"one of a higher u":                    {Head{Epoch: 3, Update: 5, Version: 7}, 4},
		"an older one with a higher u":         {Head{Epoch: 3, Update: 5, Version: 4}, 4},
		"one of a later epoch":                 {Head{Epoch: 9, Version: 2}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, store := lone(t)
			must := func(_ bool, err error) {
				t.Helper()
				if err != nil {
					t.Error(err)
				}
			}
			if err := d.commit(t.Context(), func(next *draft) error { next.own.raise, next.own.beyond = epoch, version-2; return nil }); err != nil {
				t.Fatal(err)
			}
			must(d.publish(t.Context(), true))
			if err := d.commit(t.Context(), func(next *draft) error { next.own.raised = 0; return nil }); err != nil {
				t.Fatal(err)
			}
			must(d.publish(t.Context(), true))
			if at := d.state.Load().own.place(); at.Epoch != epoch || at.Version != version {
				t.Fatalf("the node is at %+v", at)
			}
			must(false, d.hear(t.Context(), d.state.Load().own.bundle.head.envelope)) // its own echo
			must(false, d.hear(t.Context(), ownHead(d, test.shown).envelope))
			must(false, d.hear(t.Context(), ownHead(d, test.shown).envelope))
			if got := d.state.Load().own.raise; got != test.raise {
				t.Fatalf("raises to %d, not %d", got, test.raise)
			}
			// What must be reached is remembered over a restart before it is reached.
			again, err := New(Options{Site: "a", Node: d.node, Key: d.key, Network: testNetwork, Store: store.backup(), Fetcher: slowFetcher{}, Now: d.now})
			if err != nil {
				t.Fatal(err)
			}
			for name, d := range map[string]*Desk{"running": d, "restarted": again} {
				must(d.publish(t.Context(), true))
				h := d.state.Load().own.bundle.head
				if h.Epoch != max(test.raise, epoch) || h.Version <= max(version, test.shown.Version*min(test.raise, 1)) {
					t.Errorf("%s: the next head is (%d,%d,%d)", name, h.Epoch, h.Update, h.Version)
				}
				if (test.raise > 0) != (h.Prev == trust.Digest{}) {
					t.Errorf("%s: prev is %s", name, h.Prev.Short())
				}
				if _, ok := d.alarm(AlarmRestored, "", "a"); ok != (test.raise > 0) {
					t.Errorf("%s: alarms %+v", name, d.Alarms())
				}
			}
			if got := store.outcomes()[outcomeRestored]; got != int(min(test.raise, 1)) {
				t.Errorf("%d audit records", got)
			}
		})
	}
}

// A head that this node's key did not sign for this network raises nothing, whoever
// says that it is this site's.
func TestForgedOwnHeads(t *testing.T) {
	d, p, store := lone(t)
	if _, err := d.publish(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	writes := store.writes
	own := signer{pin{d.network, d.site, d.node}, d.key}
	elsewhere := own
	elsewhere.network = "another network"
	thief := signer{own.pin, p.private} // claims the name and the node, signs with its own key
	record := own.siteRecord(5, 0, nil)
	record.Key = encodeKey(p.public())
	for name, forged := range map[string]wireBundle{
		"of another network": elsewhere.bundle(5, 0, 5, trust.Digest{}, nil),
		"by another key":     thief.bundle(5, 0, 5, trust.Digest{}, nil),
		"with another key":   thief.bundleWith(record, 5, trust.Digest{}, nil),
	} {
		forged.Of = d.node
		if _, err := d.accept(t.Context(), forged); err == nil {
			t.Errorf("%s: taken", name)
		}
		_ = d.hear(t.Context(), []byte(forged.Head)) // by its kid it is the thief's own, if anybody's
	}
	for name, f := range map[string]wireFork{"by another key": thief.fork(5, 5), "of one head": {d.node, encodeKey(own.public()), []string{"x"}, nil}, "of no key": {Of: d.node}} {
		f.Of = d.node
		if _, err := d.acceptFork(t.Context(), f); err == nil {
			t.Errorf("a proof %s: taken", name)
		}
	}
	if store.writes != writes || d.state.Load().own.raise != 0 {
		t.Errorf("%d writes, raise %d", store.writes-writes, d.state.Load().own.raise)
	}
}

// A proof that this site forked silences it at its peers, so it raises its epoch even
// if it knows one of the two heads; a proof of an epoch it has left behind does not.
func TestProofAgainstThisSite(t *testing.T) {
	d, _, _ := lone(t)
	own := signer{pin{d.network, d.site, d.node}, d.key}
	for _, test := range []struct{ proven, want int64 }{{1, 2}, {1, 2}, {4, 5}, {2, 5}} {
		if _, err := d.publish(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, err := d.acceptFork(t.Context(), own.fork(test.proven, 3)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.publish(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if got := d.state.Load().own.place().Epoch; got != test.want {
			t.Errorf("proof of epoch %d: the node speaks in epoch %d, not %d", test.proven, got, test.want)
		}
	}
}

// An epoch that cannot be raised is said, not wrapped around.
func TestLastEpoch(t *testing.T) {
	d, _, _ := lone(t)
	err := d.hear(t.Context(), ownHead(d, Head{Epoch: maxCounter, Version: 1}).envelope)
	if err == nil || !strings.Contains(err.Error(), "new key") || d.state.Load().own.raise != 0 {
		t.Errorf("raise %d, error %v", d.state.Load().own.raise, err)
	}
}

// witnessTape notes, for each head that is sent, whether the store held it already.
type witnessTape struct {
	alone
	store *memory
	early int
	sent  int
}

func (m *witnessTape) Broadcast(message []byte) {
	m.sent++
	if !strings.Contains(string(m.store.backup().entries[keyOwn]), string(message)) {
		m.early++
	}
}

// Section 10: own heads are written ahead, then sent; one that could not be written is
// not sent, and its version is used again.
func TestOwnHeadsAreWrittenAhead(t *testing.T) {
	d, _, store := lone(t)
	m := &witnessTape{store: store}
	d.mesh = m
	for i := range 3 {
		store.setFail(func(map[string][]byte) error { return errDisk })
		if signed, err := d.publish(t.Context(), true); signed || !errors.Is(err, ErrNotWritten) {
			t.Errorf("signed %v, error %v", signed, err)
		}
		store.setFail(nil)
		if signed, err := d.publish(t.Context(), true); !signed || err != nil {
			t.Errorf("signed %v, error %v", signed, err)
		}
		if got := d.state.Load().own.place().Version; got != int64(i+1) || m.sent != i+1 || m.early != 0 {
			t.Errorf("version %d after %d heads, of which %d were sent before they were written", got, m.sent, m.early)
		}
	}
	if signed, err := d.publish(t.Context(), false); signed || err != nil {
		t.Errorf("with nothing to say: signed %v, error %v", signed, err)
	}
	// What this node signs passes at a peer.
	w := d.state.Load().own.bundle.records
	b, _, err := w.verify(pin{testNetwork, "a", d.node}, nil)
	if err != nil || b.timely(noon) != nil || b.head.Expires-b.head.Issued > int64(maxLife/time.Second) {
		t.Errorf("%+v, %v", b, err)
	}
}

// Two nodes that are restored from old backups at once are both heard again, and
// nobody stays a liar in anybody's eyes.
func TestTwoBackupsAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c", "d")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c", "d"} {
			n.start(name, newMemory(), n.witnessed(name, 3))
		}
		n.everybody(time.Minute, "k")
		backups := map[trust.SiteName]*memory{"a": n.sites["a"].store.backup(), "b": n.sites["b"].store.backup()}
		time.Sleep(3 * time.Hour)
		for name := range backups {
			n.sites[name].halt(t)
		}
		for name, backup := range backups {
			n.start(name, backup, n.witnessed(name, 3))
		}
		n.everybody(2*time.Minute, "k")
		for _, name := range []trust.SiteName{"a", "b", "c", "d"} {
			for _, of := range []trust.SiteName{"a", "b"} {
				own := n.sites[of].state.Load().own.place()
				if held := n.sites[name].state.Load().author(of); name != of && (held.place() != own || own.Epoch != 2) {
					t.Errorf("%s holds %+v of %s, which is at %+v", name, held.place(), of, own)
				}
			}
		}
	})
}

// Two nodes that run with one key raise their epochs against each other, slowly, and
// both say so.
func TestTwoNodesWithOneKey(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b")
		n.world.publish(testIssuer, "k")
		b := n.start("b", newMemory(), n.witnessed("b", 2))
		a := n.start("a", newMemory(), n.witnessed("a", 2))
		twin, _, twinStore := lone(t, n.witnessed("a", 2))
		twin.now = a.clock
		for range 5 {
			time.Sleep(time.Minute)
			if _, err := twin.publish(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			b.heard <- twin.state.Load().own.bundle.head.envelope
			a.heard <- twin.state.Load().own.bundle.head.envelope
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if err := twin.hear(t.Context(), a.state.Load().own.bundle.head.envelope); err != nil {
				t.Fatal(err)
			}
		}
		if !a.alarmed(AlarmRestored) || twinStore.outcomes()[outcomeRestored] == 0 {
			t.Errorf("alarms %+v", a.Alarms())
		}
		if got := a.Stats().OwnHeads; got > 12 {
			t.Errorf("a signed %d heads in five minutes", got)
		}
	})
}

// BoundedState: peers hold so much of one site's key sets. An issuer whose set finds no room is told of by thumbprints; as its home this site
// says nothing of it, rather than name a set that nobody can have, and the operator hears so once.
func TestAHomeNamesOnlyKeySetsThatItHolds(t *testing.T) {
	var policies []trust.IssuerPolicy
	var issuers []string
	for i := range 24 {
		issuers = append(issuers, fmt.Sprintf("https://idp-%02d.example.org", i))
		policies = append(policies, trust.IssuerPolicy{Issuer: issuers[i], Mode: trust.ModeDirect})
	}
	d, _, _ := lone(t, policies...)
	if err := d.BeHome(issuers); err != nil {
		t.Fatal(err)
	}
	_, one := jwks("k")
	var own *bundle
	if err := d.step(t.Context(), func(next *draft) error {
		for _, issuer := range issuers {
			var keys []trust.Key
			for i := range 25 {
				k := one[0]
				k.KeyID = fmt.Sprintf("%s %02d %s", issuer, i, strings.Repeat("x", 1900))
				keys = append(keys, k)
			}
			next.fetches[issuer] = fetchState{Fetched: Fetched{JWKSURI: issuer + "/jwks", Keys: keys}, at: noon}
		}
		_, err := d.nextOwn(next, false)
		own = next.own.bundle
		return err
	}, false); err != nil {
		t.Fatal(err)
	}
	s := d.state.Load()
	held := 0
	for _, w := range own.words {
		if _, ok := s.blobs[w.KeySet]; !ok {
			t.Errorf("%s is named with a key set that is not held", w.Issuer)
		}
		held += len(s.blobs[w.KeySet])
	}
	left := len(issuers) - len(own.words)
	if len(own.observations) != len(issuers) || left == 0 || len(own.words) == 0 || held > maxAuthorBlobs {
		t.Errorf("%d sightings, %d words, %d bytes", len(own.observations), len(own.words), held)
	}
	if alarms := d.Alarms(); len(s.own.tooLarge) != left || len(alarms) < left {
		t.Errorf("%d left out, %d told, %d alarms", left, len(s.own.tooLarge), len(alarms))
	}
}
