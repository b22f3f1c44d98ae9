package issuers

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// delivery is one message as it may reach a desk, by whatever way.
type delivery struct {
	name string
	of   signedHead
	give func(context.Context, *Desk) error
}

// deliveries are all ways in which two authors' word can arrive: bundles, heads by
// gossip, and proofs of forks, of several epochs, with a twin for some.
func deliveries(t *rapid.T) []delivery {
	var all []delivery
	for _, s := range []signer{newSigner("p"), newSigner("q")} {
		chain := s.chain(1, 4)
		twin := s.bundle(1, 0, 3, trust.DigestOf([]byte(chain[1].Head)), nil, s.obs(testIssuer, noon, "twin"))
		next := s.bundle(2, 0, 5, trust.Digest{}, nil, s.obs(testIssuer, noon, "k"))
		after := s.bundle(2, 0, 6, trust.DigestOf([]byte(next.Head)), nil, s.obs(testIssuer, noon, "k", "l"))
		pool := append(slices.Clone(chain), next, after)
		if rapid.Bool().Draw(t, string(s.site)+" forks") {
			pool = append(pool, twin)
		}
		for _, w := range pool {
			h, err := openHead([]byte(w.Head), s.pin, s.public())
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprint(s.site, " ", h.Epoch, " ", h.Version)
			all = append(all,
				delivery{name + " bundle", seal(h, []byte(w.Head)), func(ctx context.Context, d *Desk) error { _, err := d.accept(ctx, w); return err }},
				delivery{name + " head", seal(h, []byte(w.Head)), func(ctx context.Context, d *Desk) error { return d.hear(ctx, []byte(w.Head)) }})
		}
	}
	return all
}

// MergeIsJoin, MonotoneHeads, Convergence at the desk itself: whatever subset of
// messages arrives, in whatever order and however often, by gossip or by comparing,
// two desks that in the end have seen the same bundles hold, believe and store the same;
// and nothing held ever falls on the way.
func TestDesksConverge(t *testing.T) {
	policy := quorumPolicy(2, "p", "q")
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(deliveries(rt)), 1, 16).Draw(rt, "messages")
		desk := func(label string) (*Desk, *memory) {
			now := noon
			d, _, store := lone(t, policy)
			d.now = func() time.Time { now = now.Add(headEvery); return now } // no rate
			for _, m := range rapid.Permutation(chosen).Draw(rt, label) {
				before := d.state.Load().have()
				if err := m.give(t.Context(), d); err != nil {
					rt.Fatalf("%s: %v", m.name, err)
				}
				for site, p := range d.state.Load().have() {
					if p.lacks(before[site]) {
						rt.Fatalf("%s: %s fell from %+v to %+v", m.name, site, before[site], p)
					}
				}
			}
			// A comparison brings what a head of an unknown author could not.
			for range 2 {
				for _, m := range chosen {
					if err := m.give(t.Context(), d); err != nil {
						rt.Fatalf("%s: %v", m.name, err)
					}
				}
			}
			return d, store
		}
		one, oneStore := desk("one order")
		two, twoStore := desk("another order")
		for _, site := range []trust.SiteName{"p", "q"} {
			a, b := one.state.Load().author(site), two.state.Load().author(site)
			if picture(a) != picture(b) {
				rt.Fatalf("%s: %s and %s", site, picture(a), picture(b))
			}
			stored := map[string]bool{}
			for _, m := range []*memory{oneStore, twoStore} {
				held, err := loadAuthor(m.entries[keyAuthor+string(site)], testNetwork, site)
				stored[picture(held)] = true
				if a != nil && (err != nil || picture(held) != picture(a)) {
					rt.Fatalf("%s: stored %s, held %s: %v", site, picture(held), picture(a), err)
				}
			}
			if len(stored) != 1 {
				rt.Fatalf("%s: stored %v", site, stored)
			}
		}
		if a, b := one.state.Load().beliefs[testIssuer], two.state.Load().beliefs[testIssuer]; !slices.EqualFunc(a.Keys, b.Keys, func(x, y KeyBelief) bool {
			return x.Thumbprint == y.Thumbprint && x.Believed == y.Believed && reflect.DeepEqual(x.SeenBy, y.SeenBy)
		}) {
			rt.Fatalf("beliefs\n%+v\n%+v", a, b)
		}
	})
}

// Fork proofs are a join with everything else: they commute, and repeat without effect.
func TestProofsCommute(t *testing.T) {
	s := newSigner("p")
	honest, forks := line(s, 4)
	next, nextFork := s.head(2, 0, 9, trust.Digest{}, ""), s.head(2, 0, 9, trust.Digest{}, "other")
	type move struct {
		name string
		make func(*author) *author
	}
	moves := []move{
		{"proof 1", func(a *author) *author { return a.withFork(s.pin, s.public(), &forkProof{honest[1], forks[1]}) }},
		{"proof 2", func(a *author) *author { return a.withFork(s.pin, s.public(), &forkProof{next, nextFork}) }},
		{"epoch 2", func(a *author) *author { return a.withBundle(s.pin, s.public(), &bundle{head: next}) }},
	}
	for i, h := range honest {
		moves = append(moves, move{fmt.Sprint("head ", i), func(a *author) *author { return a.withBundle(s.pin, s.public(), &bundle{head: h}) }})
	}
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(moves), 1, 8).Draw(rt, "moves")
		var one, two *author
		for _, m := range chosen {
			one = m.make(one)
		}
		for _, m := range append(rapid.Permutation(chosen).Draw(rt, "order"), chosen[0]) {
			before := two
			two = m.make(two)
			if two.epoch() < before.epoch() || two.epoch() == before.epoch() && before != nil && before.forked() && !two.forked() {
				rt.Fatalf("%s: %s after %s", m.name, picture(two), picture(before))
			}
			if again := m.make(two); picture(again) != picture(two) {
				rt.Fatalf("%s twice: %s, then %s", m.name, picture(two), picture(again))
			}
		}
		if picture(one) != picture(two) {
			rt.Fatalf("%s and %s", picture(one), picture(two))
		}
	})
}

// LocalSovereignty: what is no peer's leaves no trace, by whatever way it comes; and a
// peer that is pinned to another node starts from nothing.
func TestStrangersLeaveNoTrace(t *testing.T) {
	d, p, store := lone(t, quorumPolicy(1, "stranger"))
	stranger := newSigner("stranger")
	writes := store.writes
	for _, w := range append(stranger.chain(1, 2), stranger.bundle(1, 0, 3, trust.Digest{}, nil, stranger.obs(testIssuer, noon, "k"))) {
		if changed, err := d.accept(t.Context(), w); changed || err != nil {
			t.Errorf("changed %v, %v", changed, err)
		}
		if err := d.hear(t.Context(), []byte(w.Head)); err == nil {
			t.Error("a stranger is heard")
		}
	}
	if changed, err := d.acceptFork(t.Context(), stranger.fork(1, 1)); changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	if store.writes != writes || len(d.state.Load().authors) != 0 || len(d.errands.waiting) != 0 {
		t.Errorf("%d writes, authors %v, errands %v", store.writes-writes, d.state.Load().authors, d.errands.waiting)
	}
	if _, err := d.accept(t.Context(), p.bundle(4, 0, 9, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	heir := newSigner("heir") // the site p goes on with another key
	heir.site = "p"
	if err := d.Reconfigure(nil, pinned(map[trust.SiteName]trust.NodeID{"p": heir.node})); err != nil {
		t.Fatal(err)
	}
	if held := d.state.Load().author("p"); held != nil {
		t.Errorf("held of another node: %s", held)
	}
	if changed, err := d.accept(t.Context(), p.bundle(4, 0, 10, trust.Digest{}, nil)); changed || err != nil || d.state.Load().author("p") != nil {
		t.Errorf("the old node is still listened to: changed %v, error %v", changed, err)
	}
	if changed, err := d.accept(t.Context(), heir.bundle(1, 0, 1, trust.Digest{}, nil)); !changed || err != nil {
		t.Errorf("the new node is not listened to: %v", err)
	}
}
