package issuers

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// TimeBounds: a peer's clock moves this node's evaluation time by skew at most,
// and nothing moves it back.
func TestFloor(t *testing.T) {
	d, p, _ := lone(t)
	ahead := func(by time.Duration) func(*Head) {
		return func(h *Head) { h.Issued, h.Expires = noon.Add(by).Unix(), noon.Add(by+maxLife).Unix() }
	}
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, ahead(skew+time.Second))); err == nil {
		t.Error("a head from the future was taken")
	}
	if _, err := d.accept(t.Context(), p.bundle(1, 0, 2, trust.Digest{}, ahead(skew))); err != nil {
		t.Fatal(err)
	}
	if got := d.state.Load().evaluation(noon.Add(-time.Hour)); !got.Equal(noon.Add(skew)) {
		t.Errorf("evaluation time %v", got)
	}
	// Heads of a fork proof are not checked for time, and must not move it.
	far := Head{Net: p.net(), Epoch: 3, Version: 1, Count: 1, Issued: noon.Add(1e6 * time.Second).Unix()}
	far.Expires = far.Issued + 60
	other := far
	other.Root = trust.DigestOf(nil)
	if changed, err := d.acceptFork(t.Context(), wireFork{p.node, encodeKey(p.public()), []string{p.seal(typHead, far), p.seal(typHead, other)}, nil}); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	if got := d.state.Load().floor; got.After(noon.Add(skew)) {
		t.Errorf("floor %v", got)
	}
}

// step makes the desk look at its evidence again.
func step(t *testing.T, d *Desk) {
	t.Helper()
	if err := d.commit(t.Context(), func(*draft) error { return nil }); err != nil {
		t.Error(err)
	}
}

func (d *Desk) alarm(code, issuer string, site trust.SiteName) (Alarm, bool) {
	for _, a := range d.Alarms() {
		if a.Code == code && a.Issuer == issuer && a.Site == site {
			return a, true
		}
	}
	return Alarm{}, false
}

// TimeBounds: a clock that goes back below what was already seen is told of until
// it gets there, and belief is not longer for it.
func TestClockThatWentBack(t *testing.T) {
	p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, MaxStale: time.Hour}
	now := noon
	d, peer, _ := lone(t, p)
	d.now = func() time.Time { return now }
	hold := func(at time.Time) {
		t.Helper()
		if err := d.commit(t.Context(), func(next *draft) error {
			next.fetches[testIssuer] = fetchState{Fetched: Fetched{Keys: []trust.Key{aKey("k")}}, at: at}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	hold(noon.Add(-30 * time.Minute))
	if _, err := d.accept(t.Context(), peer.bundle(1, 0, 1, trust.Digest{}, func(h *Head) {
		h.Issued, h.Expires = noon.Unix(), noon.Add(time.Hour).Unix()
	})); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.alarm(AlarmClock, "", "a"); ok || len(d.View().Issuers[testIssuer].Keys) != 1 {
		t.Error("all is well, and yet an alarm stands or the key is not believed")
	}
	now = noon.Add(-24 * time.Hour)
	hold(noon.Add(-time.Hour)) // stale by the time that was reached, fresh by the clock
	if _, ok := d.alarm(AlarmClock, "", "a"); !ok {
		t.Errorf("alarms %+v", d.Alarms())
	}
	if keys := d.View().Issuers[testIssuer].Keys; len(keys) != 0 {
		t.Errorf("a stale key lives on because the clock went back: %+v", keys)
	}
	now = noon.Add(-skew) // as near as other sites are forgiven
	step(t, d)
	if _, ok := d.alarm(AlarmClock, "", "a"); ok {
		t.Error("the alarm outlives its cause")
	}
}

// A node whose clock was an hour ahead is heard again as soon as the clock is right:
// records that it signed in the wrong hour are signed anew, not kept for an hour.
func TestRecordsOfAWrongHour(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		n.wrong["b"] = time.Hour
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		time.Sleep(10 * time.Minute)
		if got := n.sites["a"].keys(testIssuer); got != "" || !n.sites["a"].alarmed(AlarmClock) {
			t.Fatalf("a believes %q, alarms %+v", got, n.sites["a"].Alarms())
		}
		n.sites["b"].setClock(0)
		n.everybody(DefaultPoll+30*time.Second, "k")
		n.everybody(time.Hour, "k")
		if a := n.sites["a"].Alarms(); len(a) != 0 {
			t.Errorf("an hour later a's alarms are %+v", a)
		}
	})
}

// A clock that is set back puts no poll off.
func TestPollsGoOnAfterTheClockIsSetBack(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		n.wrong["a"] = 48 * time.Hour
		a := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		n.everybody(time.Second, "k")
		a.setClock(0)
		n.world.publish(testIssuer, "k", "l")
		n.everybody(2*DefaultPoll, "k l")
	})
}

// Fresh: belief ends with the witness whose vote it hangs on, to the second, though
// nothing happens at that moment; and it lasts longer when that witness speaks again.
func TestBeliefEndsWithItsWitness(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		policy := n.witnessed("a", 2)
		policy.MaxStale = 5 * time.Hour
		a := n.start("a", newMemory(), policy)
		n.start("b", newMemory(), n.witnessed("b", 2))
		c := n.start("c", newMemory(), n.witnessed("c", 2))
		until := func() time.Time { return a.View().Issuers[testIssuer].Keys[0].Until }
		n.everybody(time.Minute, "k")
		first := until()
		n.everybody(time.Hour, "k")
		if !until().After(first) {
			t.Errorf("a witness that speaks on leaves Until at %v", first)
		}
		c.halt(t)
		time.Sleep(time.Hour) // b has spoken since
		last := until()
		said := a.state.Load().author("c").witness()
		if want := earlier(said.Issued, said.Observations[0].At).Add(5 * time.Hour); !last.Equal(want) {
			t.Errorf("until %v, want %v", last, want)
		}
		time.Sleep(time.Until(last) - time.Second)
		revision := a.View().Revision
		if got := a.keys(testIssuer); got != "k" {
			t.Errorf("a second before the end a believes %q", got)
		}
		// News in the last second puts the look off by one more; Until says the same meanwhile.
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := a.keys(testIssuer); got != "" || a.View().Revision == revision || a.store.outcomes()[outcomeWithdrawn] != 1 {
			t.Errorf("at the end a believes %q, revision %d after %d", got, a.View().Revision, revision)
		}
		n.start("c", c.store, n.witnessed("c", 2))
		n.everybody(time.Minute, "k")
	})
}

// Convergence: a witness that was off tells at once that it sees the same keys again,
// whether its first head or its first fetch comes first; it does not wait for the next
// heartbeat while its old word grows stale.
func TestAWitnessThatWasOffIsHeardAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		c := n.sites["c"]
		seen := func() time.Time { return n.sites["a"].state.Load().author("c").witness().Observations[0].At }
		// The issuer hides from c for an hour, so c's heads go on without it.
		n.world.show("c", testIssuer)
		n.everybody(time.Hour, "k")
		old, heads := seen(), c.Stats().OwnHeads
		n.world.unshow("c", testIssuer)
		n.everybody(minRetry+5*time.Second, "k")
		if got := seen(); !got.After(old.Add(time.Hour-2*DefaultPoll)) || c.Stats().OwnHeads > heads+2 {
			t.Errorf("a has c's word of %v, %v before; c signed %d heads", got, old, c.Stats().OwnHeads-heads)
		}
	})
}
