package issuers

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// Section 10: each entry of the store holds something that a restart needs: with all
// of them a node knows what it knew, and without one it misses exactly that.
func TestEachEntryIsNeeded(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k", "l")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(20*time.Minute, "k l")
		n.world.publish(testIssuer, "k", "l", "m")
		n.everybody(DefaultPoll+time.Minute, "k l m")
		a := n.sites["a"]
		a.halt(t)
		was := a.state.Load()
		open := func(store *memory) *Desk {
			d, err := New(Options{Site: "a", Node: a.signer.node, Key: a.private, Network: testNetwork, Policies: []trust.IssuerPolicy{n.witnessed("a", 2)},
				Peers: pinned(n.peersOf("a")), Store: store, Fetcher: slowFetcher{}})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		entries := map[string]func(*state, *memory) bool{
			keyOwn:      func(s *state, _ *memory) bool { return s.own.place() == was.own.place() },
			keyFloor:    func(s *state, _ *memory) bool { return s.floor.Equal(was.floor) && !s.floor.IsZero() },
			keyRevision: func(s *state, _ *memory) bool { return s.revision > was.revision && s.view.Revision == s.revision },
			keySaid:     func(_ *state, m *memory) bool { return m.written() == 0 }, // the audit log hears nothing twice
			keyAuthor + "b": func(s *state, _ *memory) bool {
				return s.author("b").place() == was.author("b").place() && len(s.author("b").history) == len(was.author("b").history)
			},
			keyAuthor + "c": func(s *state, _ *memory) bool { return s.author("c").place() == was.author("c").place() },
			keyFetch + testIssuer: func(s *state, _ *memory) bool {
				f, w := s.fetches[testIssuer], was.fetches[testIssuer]
				return f.at.Equal(w.at) && f.JWKSURI == w.JWKSURI && f.Metadata == w.Metadata && slices.Equal(f.prints(), w.prints()) &&
					reflect.DeepEqual(f.Validators(), w.Validators()) && maps.EqualFunc(f.since, w.since, time.Time.Equal) &&
					len(s.view.Issuers[testIssuer].Keys) == 3
			},
		}
		own := was.own.bundle.observations[0].KeySet
		entries[keyBlob+own.String()] = func(s *state, _ *memory) bool { return len(s.blobs[own]) > 0 }
		stored := a.store.backup()
		for key := range stored.entries {
			if entries[key] == nil {
				t.Errorf("nobody needs %q", key)
			}
		}
		whole := stored.backup()
		d := open(whole)
		for key, kept := range entries {
			if !kept(d.state.Load(), whole) {
				t.Errorf("%s does not survive a restart", key)
			}
		}
		for key, kept := range entries {
			without := stored.backup()
			delete(without.entries, key)
			if d := open(without); kept(d.state.Load(), without) {
				t.Errorf("what %s is for is there without it", key)
			}
		}
	})
}

// MonotoneHeads and CrashSafe for revisions: whatever was used before a crash is not
// used again, though not every revision is written.
func TestRevisionsAreNeverUsedTwice(t *testing.T) {
	d, _, store := lone(t)
	p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
	writes := 0
	for i := range 3 * revisionStep {
		p.MaxStale = time.Duration(i+1) * time.Second
		before, revision := store.writes, d.View().Revision
		if err := d.Reconfigure([]trust.IssuerPolicy{p}, nil); err != nil {
			t.Fatal(err)
		}
		writes += store.writes - before
		if d.View().Revision != revision+1 {
			t.Fatalf("revision %d after %d", d.View().Revision, revision)
		}
		if i%17 == 0 { // a crash
			again, err := New(Options{Site: "a", Node: d.node, Key: d.key, Network: testNetwork, Store: store.backup(), Fetcher: slowFetcher{}})
			if err != nil || again.View().Revision <= d.View().Revision {
				t.Fatalf("revision %d, restored %d: %v", d.View().Revision, again.View().Revision, err)
			}
		}
	}
	if writes > 3*revisionStep/(revisionStep/2) {
		t.Errorf("%d writes for %d revisions", writes, 3*revisionStep)
	}
}

// Keys that went stale while the node was off are in the audit log when it starts, and
// are not believed for a moment.
func TestStaleWhileTheNodeWasOff(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
		a := n.start("a", newMemory(), p)
		n.everybody(time.Second, "k")
		a.halt(t)
		n.world.publish(testIssuer)
		time.Sleep(DefaultStale)
		again := n.start("a", a.store, p)
		if got := again.keys(testIssuer); got != "" || a.store.outcomes()[outcomeWithdrawn] != 1 {
			t.Errorf("it believes %q, audit %v", got, a.store.outcomes())
		}
		// And so is an issuer that was taken out of the configuration meanwhile.
		n.world.publish(testIssuer, "k")
		n.everybody(DefaultPoll, "k")
		again.halt(t)
		n.start("a", a.store)
		if got := a.store.outcomes()[outcomeWithdrawn]; got != 2 || a.store.backup().entries[keyFetch+testIssuer] != nil {
			t.Errorf("%d withdrawals in the audit log", got)
		}
	})
}

// A store that fails now and then never makes memory say more than disk: for any
// sequence of heads and failures, a restart holds what was shown.
func TestMemoryAndDiskAgree(t *testing.T) {
	p, q := newSigner("p"), newSigner("q")
	pool := append(p.chain(1, 4), q.chain(1, 4)...)
	pool = append(pool, p.bundle(2, 0, 9, trust.Digest{}, nil), q.bundle(1, 0, 2, trust.Digest{}, nil, q.obs(testIssuer, noon, "x")))
	rapid.Check(t, func(rt *rapid.T) {
		now := noon
		d, _, store := lone(t, quorumPolicy(2, "p", "q"))
		d.now = func() time.Time { return now }
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			now = now.Add(headEvery)
			failing := rapid.Bool().Draw(rt, "the disk is full")
			store.setFail(func(map[string][]byte) error {
				if failing {
					return errDisk
				}
				return nil
			})
			changed, err := d.accept(t.Context(), rapid.SampledFrom(pool).Draw(rt, "bundle"))
			if failing && (changed || err != nil && !errors.Is(err, ErrNotWritten)) {
				rt.Fatalf("on a full disk: changed %v, error %v", changed, err)
			}
			again, err := New(Options{Site: "a", Node: d.node, Key: d.key, Network: testNetwork, Policies: []trust.IssuerPolicy{quorumPolicy(2, "p", "q")},
				Peers: pinned(d.state.Load().peers), Store: store.backup(), Fetcher: slowFetcher{}, Now: d.now})
			if err != nil {
				rt.Fatal(err)
			}
			if got, want := again.state.Load(), d.state.Load(); !maps.Equal(got.have(), want.have()) || !got.floor.Equal(want.floor) {
				rt.Fatalf("disk %+v, memory %+v", got.have(), want.have())
			}
		}
	})
}
