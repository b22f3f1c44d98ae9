package issuers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/candignode/candignode/trust"
)

// Section 9: more than six heads at once of one author are not taken; ten seconds
// later one more is.
func TestHeadRate(t *testing.T) {
	now := noon
	d, p, store := lone(t)
	d.now = func() time.Time { return now }
	var prev trust.Digest
	taken := 0
	send := func(ver int64) {
		w := p.bundle(1, 0, ver, prev, nil)
		prev = trust.DigestOf([]byte(w.Head))
		if changed, _ := d.accept(t.Context(), w); changed {
			taken++
		}
	}
	for ver := int64(1); ver <= 20; ver++ {
		send(ver)
	}
	if writes := store.writes; taken != headBurst || writes > headBurst+1 {
		t.Errorf("%d heads taken, %d writes", taken, writes)
	}
	now = now.Add(headEvery)
	send(21)
	send(22)
	if taken != headBurst+1 {
		t.Errorf("%d heads taken after a pause", taken)
	}
}

// chain is an author's heads, each with its whole bundle, linked as an honest author
// links them.
func (s signer) chain(e int64, n int) []wireBundle {
	var bundles []wireBundle
	var prev trust.Digest
	for ver := int64(1); ver <= int64(n); ver++ {
		w := s.bundle(e, 0, ver, prev, nil)
		prev = trust.DigestOf([]byte(w.Head))
		bundles = append(bundles, w)
	}
	return bundles
}

// fork is a proof that s signed two heads of one version.
func (s signer) fork(e, ver int64) wireFork {
	return wireFork{Of: s.node, Key: encodeKey(s.public()), Heads: []string{
		string(s.head(e, 0, ver, trust.Digest{}, "").envelope), string(s.head(e, 0, ver, trust.Digest{}, "other").envelope)}}
}

// ForkDetected: an author cannot hide its fork by signing so much that the rate of
// what is taken from it is used up.
func TestForkProofIsNeverTurnedAway(t *testing.T) {
	d, p, _ := lone(t)
	for _, w := range p.chain(1, headBurst) {
		if changed, err := d.accept(t.Context(), w); err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	// Neither of the two heads is held, and none of those held conflicts with them; nor
	// does the flood of one epoch hide a fork in the next.
	held := d.state.Load()
	for _, epoch := range []int64{1, 2} {
		d.state.Store(held)
		if changed, err := d.acceptFork(t.Context(), p.fork(epoch, 40)); err != nil || !changed || !d.state.Load().author("p").forked() {
			t.Errorf("epoch %d: changed %v, error %v", epoch, changed, err)
		}
		held = held.draft(noon).state // as it was, not yet replaced
	}
}

// BoundedState: proofs of ever higher epochs cost their author its rate.
func TestForkProofsAreBounded(t *testing.T) {
	d, p, store := lone(t)
	taken := 0
	for e := int64(1); e <= 40; e++ {
		if changed, _ := d.acceptFork(t.Context(), p.fork(e, 1)); changed {
			taken++
		}
	}
	if taken > headBurst+1 || store.writes > taken+1 {
		t.Errorf("%d proofs taken, %d writes", taken, store.writes)
	}
	if changed, err := d.accept(t.Context(), newSigner("q").bundle(1, 0, 1, trust.Digest{}, nil)); err != nil || !changed {
		t.Errorf("what p did, q pays for: %v, %v", changed, err)
	}
}

// Whoever relays an author's old heads again does not use up the rate that the
// author's next head needs, and does not make this node write without end.
func TestReplayedHeadsDoNotHoldTheNextOneBack(t *testing.T) {
	d, p, store := lone(t)
	chain := p.chain(1, 14)
	if _, err := d.accept(t.Context(), chain[12]); err != nil {
		t.Fatal(err)
	}
	writes := store.writes
	for range 3 {
		for _, old := range chain[:12] {
			_ = d.hear(t.Context(), []byte(old.Head)) // taken or not: both are right
		}
	}
	if got := store.writes - writes; got > headBurst {
		t.Errorf("%d writes for old heads", got)
	}
	if changed, err := d.accept(t.Context(), chain[13]); err != nil || !changed {
		t.Errorf("the next head: %v, %v", changed, err)
	}
	if got := d.state.Load().author("p").place().Version; got != 14 {
		t.Errorf("held version %d", got)
	}
}

// A head that gossip brings beyond the rate sends nobody on an errand.
func TestFastHeadsCauseNoErrands(t *testing.T) {
	d, p, _ := lone(t)
	chain := p.chain(1, headBurst+2)
	for _, w := range chain[:headBurst] {
		if _, err := d.accept(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.hear(t.Context(), []byte(chain[headBurst].Head)); err != nil || len(d.errands.waiting) != 0 {
		t.Errorf("%v, errands %+v", err, d.errands.waiting)
	}
	d.now = func() time.Time { return noon.Add(headEvery) }
	if err := d.hear(t.Context(), []byte(chain[headBurst].Head)); err != nil || len(d.errands.waiting) != 1 {
		t.Errorf("after a pause %v, errands %+v", err, d.errands.waiting)
	}
	// However much news of one author comes, it is one errand, for the newest.
	if err := d.hear(t.Context(), []byte(chain[headBurst+1].Head)); err != nil || len(d.errands.waiting) != 1 || d.errands.waiting[0].wanted.Version != headBurst+2 {
		t.Errorf("%v, errands %+v", err, d.errands.waiting)
	}
}

// A site whose own records change all the time stays below what its peers take.
func TestOwnHeadsStayBelowTheRate(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		a, p := n.sites["a"], n.witnessed("a", 2)
		before := a.Stats().OwnHeads
		for i := range 60 {
			p.ClientIDs = []string{fmt.Sprint("client-", i)}
			if err := a.Reconfigure([]trust.IssuerPolicy{p}, pinned(n.peersOf("a"))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if got := a.Stats().OwnHeads - before; got > headBurst+3 {
			t.Errorf("a signed %d heads in half a minute", got)
		}
		n.everybody(time.Minute, "k")
		for _, name := range []trust.SiteName{"b", "c"} {
			if got := n.sites[name].ClientIDs(testIssuer, "a"); !slices.Equal(got, p.ClientIDs) || n.sites[name].Stats().Refused != 0 {
				t.Errorf("%s knows %q and refused %d", name, got, n.sites[name].Stats().Refused)
			}
		}
	})
}
