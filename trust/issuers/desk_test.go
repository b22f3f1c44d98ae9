package issuers

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/candignode/candignode/trust"
)

// Section 8, row 99: a rotated key works everywhere, and a withdrawn one stops, within
// a poll and a little gossip; both are in the audit log.
func TestRotationReachesAll(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 0))
		}
		n.everybody(10*time.Second, "k")
		n.world.publish(testIssuer, "k", "l")
		n.everybody(DefaultPoll+3*time.Second, "k l")
		revision := n.sites["a"].View().Revision
		n.world.publish(testIssuer, "l")
		n.everybody(DefaultPoll+3*time.Second, "l")
		if after := n.sites["a"].View().Revision; after <= revision {
			t.Errorf("revision %d after a withdrawal, %d before", after, revision)
		}
		n.everybody(3*time.Hour, "l") // heads expire after 2 h and are renewed
		if got := n.sites["a"].store.outcomes(); got[outcomeBelieved] != 2 || got[outcomeWithdrawn] != 1 {
			t.Errorf("audit log: %v", got)
		}
		for name, s := range n.sites {
			if a := s.Alarms(); len(a) != 0 {
				t.Errorf("%s: alarms %+v", name, a)
			}
		}
	})
}

// A View whose evidence merely lasts longer keeps its revision, so that cached
// verdicts live.
func TestRevisionIsQuietWhenNothingChanges(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		before := n.sites["a"].View()
		n.everybody(2*time.Hour, "k")
		after := n.sites["a"].View()
		if after.Revision != before.Revision || !after.Issuers[testIssuer].Keys[0].Until.After(before.Issuers[testIssuer].Keys[0].Until) {
			t.Errorf("revision %d, then %d; until %v, then %v", before.Revision, after.Revision, before.Issuers[testIssuer].Keys[0].Until, after.Issuers[testIssuer].Keys[0].Until)
		}
	})
}

// NoInjection, SingleFaultLiveness, V057: one witness that is shown something
// else, or nothing, changes nothing for the others; two liars do not either while
// this node's own path is good.
func TestFaultyWitnesses(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c", "d")
		n.world.publish(testIssuer, "k")
		n.world.show("d", testIssuer, "forged")
		for _, name := range []trust.SiteName{"a", "b", "c", "d"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		time.Sleep(time.Minute)
		for name, want := range map[trust.SiteName]string{"a": "k", "b": "k", "c": "k", "d": ""} {
			if got := n.sites[name].keys(testIssuer); got != want {
				t.Errorf("%s believes %q, not %q", name, got, want)
			}
		}
		if !n.sites["a"].alarmed(AlarmDisagree) || !n.sites["d"].alarmed(AlarmQuorum) {
			t.Errorf("alarms of a: %+v; of d: %+v", n.sites["a"].Alarms(), n.sites["d"].Alarms())
		}
		n.world.show("d", testIssuer)
		time.Sleep(2 * DefaultPoll)
		if got := n.sites["a"].keys(testIssuer); got != "k" {
			t.Errorf("an empty witness made a believe %q", got)
		}
		if !n.sites["d"].alarmed(AlarmFetchFailed) {
			t.Error("d does not say that its fetches fail")
		}
		n.world.show("c", testIssuer, "forged")
		n.world.show("d", testIssuer, "forged")
		time.Sleep(2 * DefaultPoll)
		if got := n.sites["a"].keys(testIssuer); strings.Contains(got, "forged") {
			t.Errorf("two lying witnesses made a believe %q", got)
		}
	})
}

// Row 99: a failing issuer keeps its keys until they are stale, and not a second longer,
// without any event.
func TestLastGoodSetUntilStale(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		s := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, MaxStale: 6 * time.Hour})
		n.everybody(time.Second, "k")
		until := s.View().Issuers[testIssuer].Keys[0].Until
		n.world.publish(testIssuer)
		n.everybody(time.Until(until)-2*time.Second, "k")
		if !s.alarmed(AlarmFetchFailed) || s.alarmed(AlarmStale) {
			t.Errorf("alarms %+v", s.Alarms())
		}
		n.everybody(3*time.Second, "")
		if !s.alarmed(AlarmStale) || s.store.outcomes()[outcomeWithdrawn] != 1 {
			t.Errorf("alarms %+v, audit %v", s.Alarms(), s.store.outcomes())
		}
		n.world.publish(testIssuer, "k")
		n.everybody(DefaultPoll, "k")
		if len(s.Alarms()) != 0 {
			t.Errorf("alarms %+v", s.Alarms())
		}
	})
}

// A restart without a network knows what was known, and no revision comes twice.
func TestRestartFromTheStore(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		a := n.sites["a"]
		view, place, have := a.View(), a.state.Load().own.place(), a.state.Load().have()
		for _, s := range n.sites {
			s.halt(t)
		}
		n.world.publish(testIssuer)
		records := a.store.written()
		again := n.start("a", a.store, n.witnessed("a", 2))
		if got := again.keys(testIssuer); got != "k" {
			t.Errorf("after a restart a believes %q", got)
		}
		if again.View().Revision < view.Revision {
			t.Errorf("revision %d after %d", again.View().Revision, view.Revision)
		}
		if got := again.store.written(); got != records {
			t.Errorf("a restart that changed no belief wrote %d audit records", got-records)
		}
		for site, p := range again.state.Load().have() {
			if p != have[site] {
				t.Errorf("%s is held at %+v, was %+v", site, p, have[site])
			}
		}
		time.Sleep(time.Minute)
		if now := again.state.Load().own.place(); now.Epoch != place.Epoch || now.Version <= place.Version {
			t.Errorf("own head %+v after %+v", now, place)
		}
		n.everybody(DefaultStale, "")
	})
}

// Section 10: a node that was restored from an old backup, or lost its state,
// raises its epoch and is heard again; it is not taken for a liar for longer.
func TestOwnHeadsAreRecovered(t *testing.T) {
	for name, lossy := range map[string]bool{"gossip": false, "gossip is lost": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "c")
				n.mesh.lossy = lossy
				n.world.publish(testIssuer, "k")
				backup := newMemory()
				for _, name := range []trust.SiteName{"a", "b", "c"} {
					n.start(name, newMemory(), n.witnessed(name, 2))
				}
				n.everybody(time.Minute, "k")
				for _, restore := range []func() *memory{newMemory, func() *memory { return backup }} {
					time.Sleep(2 * time.Hour)
					n.sites["c"].halt(t)
					c := n.start("c", restore(), n.witnessed("c", 2))
					n.everybody(2*time.Minute, "k")
					backup = c.store.backup()
					place := c.state.Load().own.place()
					for _, name := range []trust.SiteName{"a", "b"} {
						held := n.sites[name].state.Load().author("c")
						if held.forked() || held.place() != place {
							t.Errorf("%s holds %+v of c, which is at %+v", name, held.place(), place)
						}
						if n.sites[name].store.outcomes()[outcomeForked] != 0 {
							t.Errorf("%s took c for a liar, though c could ask first", name)
						}
					}
					if place.Epoch < 2 || !c.alarmed(AlarmRestored) || c.store.outcomes()[outcomeRestored] == 0 {
						t.Errorf("c speaks in epoch %d; alarms %+v", place.Epoch, c.Alarms())
					}
				}
			})
		})
	}
}

// A node that could not hear its peers when it started signs on, and its peers
// see a fork; it heals when they meet.
func TestForkOfAnIsolatedBackupHeals(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		for _, name := range []trust.SiteName{"a", "b", "c"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
		}
		n.everybody(time.Minute, "k")
		backup := n.sites["c"].store.backup()
		time.Sleep(20 * time.Minute)
		n.sites["c"].halt(t)
		n.sever("c", true)
		c := n.start("c", backup, n.witnessed("c", 2))
		time.Sleep(20 * time.Minute)
		n.sever("c", false)
		n.everybody(2*time.Minute, "k")
		if held := n.sites["a"].state.Load().author("c"); held.forked() || held.epoch() < 2 || held.place() != c.state.Load().own.place() {
			t.Errorf("a holds %+v of c", held.place())
		}
	})
}

// ForkDetected: a witness that tells two sites two things loses its vote at both,
// also after a restart, until its epoch rises.
func TestForkedWitness(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "liar")
		n.world.publish(testIssuer, "k")
		a := n.start("a", newMemory(), n.witnessed("a", 2))
		b := n.start("b", newMemory(), n.witnessed("b", 2))
		liar := newSigner("liar")
		now := time.Now()
		say := func(to *site, e, ver int64, names ...string) {
			t.Helper()
			_, keys := jwks(names...)
			o := obsRecord{Net: liar.net(), Issuer: testIssuer, JWKSURI: testIssuer + "/jwks", At: now.Unix()}
			for _, k := range keys {
				o.Keys = append(o.Keys, k.Thumbprint)
			}
			slices.Sort(o.Keys)
			site := liar.siteRecord(e, 0, nil)
			site.Issued, site.Expires = now.Unix(), now.Add(siteLife).Unix()
			w := liar.bundleWith(site, ver, trust.Digest{}, func(h *Head) { h.Issued, h.Expires = now.Unix(), now.Add(maxLife).Unix() }, liar.seal(typObs, o))
			if _, err := to.accept(t.Context(), w); err != nil {
				t.Error(err)
			}
		}
		say(a, 1, 1, "k")
		n.sever("a", true)
		say(b, 1, 1, "k", "forged")
		n.sever("a", false)
		n.everybody(time.Minute, "")
		for _, s := range []*site{a, b} {
			if !s.alarmed(AlarmFork) || s.store.outcomes()[outcomeForked] != 1 {
				t.Errorf("%s: alarms %+v, audit %v", s.signer.site, s.Alarms(), s.store.outcomes())
			}
		}
		now = time.Now()
		say(a, 1, 2, "k") // more of the same epoch does not help
		n.everybody(time.Minute, "")
		a.halt(t)
		a = n.start("a", a.store, n.witnessed("a", 2))
		n.everybody(time.Minute, "")
		now = time.Now()
		say(a, 2, 3, "k")
		n.everybody(time.Minute, "k")
	})
}

// Pinned keys need no network, are not fetched, and never grow stale.
func TestManual(t *testing.T) {
	simulate(t, func(t *testing.T) {
		body, _ := jwks("p")
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		s := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeManual, ManualJWKS: body})
		n.everybody(MaxStale+time.Hour, "p")
		if got := n.world.count("a"); got != 0 || s.Refresh(t.Context(), testIssuer) {
			t.Errorf("%d fetches", got)
		}
	})
}

// Section 7: a key that a second issuer shows later stays the first one's.
func TestSharedKey(t *testing.T) {
	simulate(t, func(t *testing.T) {
		const copycat = "https://aaa.example.org"
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k")
		n.world.publish(copycat, "mine")
		s := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}, trust.IssuerPolicy{Issuer: copycat, Mode: trust.ModeDirect})
		time.Sleep(time.Second)
		n.world.publish(copycat, "k", "mine")
		time.Sleep(DefaultPoll + time.Second)
		if s.keys(testIssuer) != "k" || s.keys(copycat) != "mine" || !s.alarmed(AlarmSharedKey) {
			t.Errorf("%q and %q, alarms %+v", s.keys(testIssuer), s.keys(copycat), s.Alarms())
		}
		s.halt(t)
		s = n.start("a", s.store, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}, trust.IssuerPolicy{Issuer: copycat, Mode: trust.ModeDirect})
		if s.keys(testIssuer) != "k" || s.keys(copycat) != "mine" {
			t.Errorf("after a restart %q and %q", s.keys(testIssuer), s.keys(copycat))
		}
	})
}

// A change reaches every site within two seconds, and also when gossip fails.
func TestChangeTravelsFast(t *testing.T) {
	for name, lossy := range map[string]bool{"gossip": false, "gossip is lost": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "c", "d", "e")
				n.mesh.lossy = lossy
				n.world.publish(testIssuer, "k")
				for _, name := range []trust.SiteName{"a", "b", "c", "d", "e"} {
					n.start(name, newMemory(), n.witnessed(name, 2))
				}
				n.everybody(15*time.Second, "k")
				a := n.sites["a"]
				p := n.witnessed("a", 2)
				p.ClientIDs = []string{"node-a"}
				if err := a.Reconfigure([]trust.IssuerPolicy{p}, pinned(n.peersOf("a"))); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for _, name := range []trust.SiteName{"b", "c", "d", "e"} {
					if got := n.sites[name].ClientIDs(testIssuer, "a"); !slices.Equal(got, []string{"node-a"}) {
						t.Errorf("%s knows %q", name, got)
					}
				}
			})
		})
	}
}
