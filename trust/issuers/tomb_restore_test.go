package issuers

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// startHome runs a site of a network whose issuer names h as its home, as homed has it.
func (n *network) startHome(name trust.SiteName, store *memory) *site {
	n.t.Helper()
	p, peers := homed(n, name)
	s := n.startWith(name, store, peers, p)
	if name == "h" {
		if err := s.BeHome([]string{testIssuer}); err != nil {
			n.t.Fatal(err)
		}
	}
	return s
}

// Threat: restore from an old backup. A home that has forgotten its own tombstone hears of it from those who rely on
// it, tells it again, and is heard again: also when it raised its epoch before anybody could tell it, and when the
// key is shown once more by everybody.
func TestRestoredHomeTakesItsTombstonesBack(t *testing.T) {
	for name, alone := range map[string]time.Duration{
		"its peers are there when it starts":      0,
		"it has spoken before its peers were met": 20 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "h")
				n.world.home = "site-of-h"
				n.world.publish(testIssuer, "k", "l")
				for _, name := range []trust.SiteName{"a", "b", "h"} {
					n.startHome(name, newMemory())
				}
				n.everybody(time.Minute, "k l")
				h := n.sites["h"]
				backup := h.store.backup()
				h.distrust(t, "k", 30*24*time.Hour)
				n.everybody(time.Minute, "l")
				h.halt(t)

				n.sever("h", alone > 0)
				h = n.startHome("h", backup)
				time.Sleep(alone)
				n.sever("h", false)
				n.everybody(2*time.Minute, "l")
				if acks := h.Acknowledgements(); len(acks) != 1 || len(acks[0].Missing) != 0 {
					t.Errorf("the home tells of %+v", acks)
				}
				// It is heard: what it says next, its peers take.
				h.distrust(t, "l", time.Hour)
				n.everybody(time.Minute, "")
				own := h.state.Load().own.place()
				for _, name := range []trust.SiteName{"a", "b"} {
					if held := n.sites[name].state.Load().author("h").place(); held != own {
						t.Errorf("%s holds %+v of the home, which is at %+v", name, held, own)
					}
				}
			})
		})
	}
}

// A home that replaces its node key goes on telling what it told under the old one, and is acknowledged anew.
func TestTombstonesOutliveTheNodeKey(t *testing.T) {
	d, _, store := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	if err := d.BeHome([]string{testIssuer}); err != nil {
		t.Fatal(err)
	}
	if err := d.Distrust(t.Context(), Tombstone{Issuer: testIssuer, Thumbprint: EveryKey, Until: noon.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := d.step(t.Context(), func(next *draft) error {
		tombs := slices.Clone(next.tombs)
		tombs[0].Acked = map[trust.SiteName]time.Time{"p": noon}
		next.keepTombs(tombs)
		return nil
	}, false); err != nil {
		t.Fatal(err)
	}
	told := d.state.Load().tombs[0].Envelope
	heir := newSigner("heir")
	for name, o := range map[string]Options{
		"the same key and network": {Site: "a", Node: d.node, Key: d.key, Network: testNetwork},
		"another key":              {Site: "a", Node: heir.node, Key: heir.private, Network: testNetwork},
		"another network":          {Site: "a", Node: d.node, Key: d.key, Network: "elsewhere"},
	} {
		o.Store, o.Fetcher, o.Now = store.backup(), slowFetcher{}, d.now
		o.Policies, o.Peers = []trust.IssuerPolicy{{Issuer: testIssuer, Mode: trust.ModeDirect}}, pinned(map[trust.SiteName]trust.NodeID{"p": newSigner("p").node})
		for range 2 { // and at the start after that
			d, err := New(o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			same := name == "the same key and network"
			acks := d.Acknowledgements()
			if len(acks) != 1 || !acks[0].Told || (len(acks[0].Acked) == 1) != same || (d.state.Load().tombs[0].Envelope == told) != same {
				t.Errorf("%s: %+v", name, acks)
			}
			if said, err := d.publish(t.Context(), true); err != nil || !said || len(d.state.Load().own.bundle.tombs) != 1 {
				t.Errorf("%s: the next head says %t, %v", name, said, err)
			}
		}
	}
}

// Section 6: a new epoch is no way to make an unexpired tombstone vanish either (invariant 8).
func TestTombstonesDoNotVanishWithAnEpoch(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	tomb := p.seal(typTomb, tombRecord{p.net(), testIssuer, EveryKey, "stolen", noon.Unix(), noon.Add(time.Hour).Unix()})
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil, tomb)); err != nil {
		t.Fatal(err)
	}
	if changed, err := d.accept(t.Context(), p.bundle(2, 0, 2, trust.Digest{}, nil)); changed || !errors.Is(err, ErrRecord) {
		t.Errorf("dropped by an epoch: %t %v", changed, err)
	}
	if changed, err := d.accept(t.Context(), p.bundle(2, 0, 3, trust.Digest{}, nil, tomb)); !changed || err != nil {
		t.Errorf("kept over an epoch: %t %v", changed, err)
	}
}

// What a peer shows as this site's own brings back only tombstones that this site's key signed, for this network,
// that have not ended, and that are not held; each once, with a record of it.
func TestWhatARestoredHomeTakesBack(t *testing.T) {
	d, thief, store := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	own := signer{pin{d.network, d.site, d.node}, d.key}
	tomb := func(s signer, key string, until time.Time) string {
		return s.seal(typTomb, tombRecord{s.net(), testIssuer, key, "stolen", noon.Add(-time.Hour).Unix(), until.Unix()})
	}
	k := print("k")
	shown := own.bundle(1, 0, 4, trust.Digest{}, nil, tomb(own, k, noon.Add(time.Hour)), tomb(own, EveryKey, noon.Add(-time.Minute)))
	for range 2 {
		if _, err := d.accept(t.Context(), shown); err != nil {
			t.Fatal(err)
		}
	}
	acks := d.Acknowledgements()
	if len(acks) != 1 || acks[0].Thumbprint != k || !acks[0].Told || store.outcomes()[outcomeDistrusted] != 1 {
		t.Errorf("%+v, audit %v", acks, store.outcomes())
	}
	forged := thief.bundle(1, 0, 9, trust.Digest{}, nil, tomb(thief, EveryKey, noon.Add(time.Hour)))
	forged.Of = d.node
	mixed := own.bundle(1, 0, 9, trust.Digest{}, nil, tomb(thief, EveryKey, noon.Add(time.Hour)))
	for name, w := range map[string]wireBundle{"a thief's": forged, "a thief's tombstone under an own head": mixed} {
		if _, err := d.accept(t.Context(), w); err == nil || len(d.Acknowledgements()) != 1 {
			t.Errorf("%s: %v, %+v", name, err, d.Acknowledgements())
		}
	}
	// A disk that is full keeps nothing half: the epoch is not raised without the tombstones.
	store.setFail(func(map[string][]byte) error { return errors.New("full") })
	raise := d.state.Load().own.raise
	if _, err := d.accept(t.Context(), own.bundle(3, 0, 9, trust.Digest{}, nil, tomb(own, EveryKey, noon.Add(time.Hour)))); !errors.Is(err, ErrNotWritten) {
		t.Errorf("a full disk: %v", err)
	}
	if s := d.state.Load(); s.own.raise != raise || len(s.tombs) != 1 {
		t.Errorf("a full disk: raised to %d, %d tombstones", s.own.raise, len(s.tombs))
	}
}

// Invariants 8 and 10: a fork lifts no tombstone for good. While the author weighs nothing its tombstone does not
// either, but its next word is taken only with it, whether the bundle or the proof came first, by whatever way the proof
// came, and after a restart; and whoever asks for its own word is given it back.
func TestForkDropsNoTombstone(t *testing.T) {
	_, p, _ := lone(t)
	tomb := p.seal(typTomb, tombRecord{p.net(), testIssuer, EveryKey, "stolen", noon.Unix(), noon.Add(time.Hour).Unix()})
	with := p.bundle(1, 0, 2, trust.Digest{}, nil, tomb)
	proof := p.fork(1, 4)
	told := proof
	told.Tombs = []string{tomb}
	type step func(*Desk) error
	bring := func(w wireBundle) step { return func(d *Desk) error { _, err := d.accept(t.Context(), w); return err } }
	prove := func(f wireFork) step {
		return func(d *Desk) error { _, err := d.acceptFork(t.Context(), f); return err }
	}
	for name, steps := range map[string][]step{
		"the bundle, then the proof":         {bring(with), prove(proof)},
		"the proof, then the bundle":         {prove(proof), bring(with)},
		"the proof with it":                  {prove(told)},
		"the proof, then the proof with it":  {prove(proof), prove(told), prove(told)},
		"a proof, and one of the next epoch": {bring(with), prove(proof), prove(p.fork(2, 9))},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, store := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
			for _, s := range steps {
				if err := s(d); err != nil {
					t.Fatal(err)
				}
			}
			again, err := New(Options{Site: "a", Node: d.node, Key: d.key, Network: testNetwork, Policies: []trust.IssuerPolicy{{Issuer: testIssuer, Mode: trust.ModeDirect}},
				Peers: pinned(map[trust.SiteName]trust.NodeID{"p": p.node}), Store: store.backup(), Fetcher: slowFetcher{}, Now: d.now})
			if err != nil {
				t.Fatal(err)
			}
			for when, d := range map[string]*Desk{"running": d, "restarted": again} {
				answer := d.state.Load().answer("p", syncRequest{}, noon)
				if len(answer.Forks) != 1 || !slices.Equal(answer.Forks[0].Tombs, []string{tomb}) {
					t.Errorf("%s: its author is told %+v", when, answer.Forks)
				}
				if changed, err := d.accept(t.Context(), p.bundle(3, 0, 20, trust.Digest{}, nil)); changed || !errors.Is(err, ErrRecord) {
					t.Errorf("%s: without it: %t %v", when, changed, err)
				}
				if changed, err := d.accept(t.Context(), p.bundle(3, 0, 21, trust.Digest{}, nil, tomb)); !changed || err != nil {
					t.Errorf("%s: with it: %t %v", when, changed, err)
				}
				if a := d.state.Load().author("p"); a.forked() || len(a.relics) != 0 || len(a.bundle.tombs) != 1 {
					t.Errorf("%s: %s, %d relics", when, a, len(a.relics))
				}
			}
		})
	}
	// A relay cannot put in a tombstone of its own, or more than one author may have.
	d, _, _ := lone(t)
	other := newSigner("q")
	forged := proof
	forged.Tombs = []string{other.seal(typTomb, tombRecord{p.net(), testIssuer, EveryKey, "", noon.Unix(), noon.Unix() + 1})}
	flood := proof
	flood.Tombs = slices.Repeat([]string{tomb}, MaxRecords+1)
	for name, f := range map[string]wireFork{"a relay's own": forged, "a flood": flood} {
		if changed, err := d.acceptFork(t.Context(), f); changed || !errors.Is(err, ErrRecord) || d.state.Load().author("p") != nil {
			t.Errorf("%s: %t %v", name, changed, err)
		}
	}
}

// Sets of relics are a join, and no larger than what one author may have.
func TestRelicsAreAJoin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		set := rapid.Custom(func(t *rapid.T) []relic {
			var relics []relic
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 400), 0, 300).Draw(t, "set") {
				relics = append(relics, relic{envelope: fmt.Sprintf("%04d", n)})
			}
			return unite(relics, nil)
		})
		a, b, c := set.Draw(rt, "a"), set.Draw(rt, "b"), set.Draw(rt, "c")
		if !slices.Equal(unite(a, b), unite(b, a)) || !slices.Equal(unite(a, a), a) || !slices.Equal(unite(unite(a, b), c), unite(a, unite(b, c))) {
			rt.Fatal("the order of what was brought matters")
		}
		if n := len(unite(unite(a, b), c)); n > MaxRecords {
			rt.Fatalf("%d relics", n)
		}
	})
}
