package issuers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

func buried(print string, until time.Time) Tombstone {
	return Tombstone{Issuer: testIssuer, Thumbprint: print, Reason: "stolen", At: noon, Until: until}
}

func (s *site) distrust(t *testing.T, kid string, life time.Duration) {
	t.Helper()
	print := kid
	if kid != EveryKey {
		print = thumbprints(kid)[0]
	}
	err := s.Distrust(t.Context(), Tombstone{Issuer: testIssuer, Thumbprint: print, Reason: "stolen", Until: s.clock().Add(life)})
	if err != nil {
		t.Fatal(err)
	}
}

// Invariant 8 (TombstoneDominates): whatever the mode and whoever shows the key, a tombstone of
// somebody who may say so takes belief from it. Invariant 9 (TombstoneAuthority): nobody else's
// does.
func TestTombstones(t *testing.T) {
	all := []Witness{sees("b", noon, testIssuer, "k", "l"), sees("c", noon, testIssuer, "k", "l"), sees("h", noon, testIssuer, "k", "l")}
	quorum := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirectQuorum, K: 2, Witnesses: []trust.SiteName{"b", "c", "h"}}
	saying := func(site trust.SiteName, tombs ...Tombstone) []Witness {
		sites := slices.Clone(all)
		for i, w := range sites {
			if w.Site == site {
				sites[i].Tombs = tombs
			}
		}
		return sites
	}
	later := noon.Add(time.Hour)
	k := buried(print("k"), later)
	for name, c := range map[string]struct {
		policy trust.IssuerPolicy
		ev     Evidence
		at     time.Time
		want   string
	}{
		"nobody's":                       {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all}, noon, "k l"},
		"the operator's":                 {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all, Buried: []Tombstone{k}}, noon, "l"},
		"of every key":                   {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all, Buried: []Tombstone{buried(EveryKey, later)}}, noon, ""},
		"of another issuer":              {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all, Buried: []Tombstone{{Issuer: "https://b", Thumbprint: EveryKey, Until: later}}}, noon, "k l"},
		"that has ended":                 {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all, Buried: []Tombstone{k}}, later, "k l"},
		"of a pinned key":                {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeManual}, Evidence{Pinned: []trust.Key{aKey("k"), aKey("l")}, Buried: []Tombstone{k}}, noon, "l"},
		"the bound home's":               {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: saying("h", k), Home: "h"}, noon, "l"},
		"a home's that is not bound":     {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: saying("h", k)}, noon, "k l"},
		"another peer's":                 {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: saying("b", k, buried(EveryKey, later)), Home: "h"}, noon, "k l"},
		"a home's whose head is old":     {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}, Evidence{Own: ownFetch(noon, "k", "l"), Sites: []Witness{{Site: "h", Issued: noon.Add(-80 * time.Hour), Tombs: []Tombstone{k}}}, Home: "h"}, noon, "l"},
		"a home's that forked":           {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}, Evidence{Own: ownFetch(noon, "k", "l"), Sites: []Witness{{Site: "h", Forked: true, Tombs: []Tombstone{k}}}, Home: "h"}, noon, "k l"},
		"against a clock that went back": {quorum, Evidence{Own: ownFetch(noon, "k", "l"), Sites: all, Buried: []Tombstone{k}, Floor: noon}, noon.Add(-time.Hour), "l"},
	} {
		c.ev.Self = "a"
		if got := believed(Believe(c.policy, c.ev, c.at)); got != c.want {
			t.Errorf("%s tombstone: believed %q, not %q", name, got, c.want)
		}
	}
}

// Invariants 8 and 10: the order in which tombstones and observations stand means nothing.
func TestTombstonesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kids := rapid.SampledFrom([]string{"k", "l", "m"})
		w := sees("h", noon, testIssuer, "k", "l", "m")
		for range rapid.IntRange(0, 4).Draw(rt, "tombs") {
			w.Tombs = append(w.Tombs, buried(print(kids.Draw(rt, "key")), noon.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "hours"))*time.Hour)))
		}
		p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
		ev := Evidence{Self: "a", Own: ownFetch(noon, "k", "l", "m"), Sites: []Witness{sees("b", noon, testIssuer, "k"), w}, Home: "h"}
		want := believed(Believe(p, ev, noon))
		for _, kid := range strings.Fields(want) {
			if slices.ContainsFunc(w.Tombs, func(t Tombstone) bool { return t.buries(testIssuer, print(kid), noon) }) {
				rt.Fatalf("%s is believed and buried", kid)
			}
		}
		w.Tombs = rapid.Permutation(append(slices.Clone(w.Tombs), w.Tombs...)).Draw(rt, "order")
		ev.Sites = []Witness{w, sees("b", noon, testIssuer, "k")}
		if got := believed(Believe(p, ev, noon)); got != want {
			rt.Fatalf("%q, and in another order %q", want, got)
		}
	})
}

// homed makes peers of which h says that it is the home of the test's issuer, and policies in which
// every operator agrees.
func homed(n *network, name trust.SiteName) (trust.IssuerPolicy, map[trust.SiteName]Peer) {
	p := n.witnessed(name, 2)
	p.Home = "h"
	peers := pinned(n.peersOf(name))
	if h, ok := peers["h"]; ok {
		h.Recorded, h.Site, h.Issuers = true, "site-of-h", []string{testIssuer}
		peers["h"] = h
	}
	return p, peers
}

// Section 8: a tombstone of the bound home reaches every peer on a stream, each acknowledges it, and who has not
// is shown: also a peer that was away for days. A withdrawn key stays withdrawn whoever shows it (threat:
// resurrection after a tombstone), and a tombstone outlives restarts on both sides.
func TestEmergencyIsAcknowledged(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c", "h")
		n.world.home = "site-of-h"
		n.world.publish(testIssuer, "k", "l")
		for _, name := range []trust.SiteName{"a", "b", "c", "h"} {
			n.start(name, newMemory(), n.witnessed(name, 2))
			p, peers := homed(n, name)
			if err := n.sites[name].Reconfigure([]trust.IssuerPolicy{p}, peers); err != nil {
				t.Fatal(err)
			}
		}
		h := n.sites["h"]
		if err := h.BeHome([]string{testIssuer}); err != nil {
			t.Fatal(err)
		}
		n.everybody(time.Minute, "k l")
		n.sever("c", true)
		h.distrust(t, "k", 30*24*time.Hour)
		if got := h.keys(testIssuer); got != "l" {
			t.Errorf("at home %q is believed at once", got)
		}
		time.Sleep(5 * time.Second)
		for _, name := range []trust.SiteName{"a", "b"} {
			if got := n.sites[name].keys(testIssuer); got != "l" {
				t.Errorf("%s believes %q", name, got)
			}
		}
		acks := h.Acknowledgements()
		if len(acks) != 1 || !slices.Equal(acks[0].Acked, []trust.SiteName{"a", "b"}) || !slices.Equal(acks[0].Missing, []trust.SiteName{"c"}) {
			t.Fatalf("%+v", acks)
		}
		h.halt(t)
		p, peers := homed(n, "h")
		n.start("h", h.store, p)
		h = n.sites["h"]
		if err := errors.Join(h.BeHome([]string{testIssuer}), h.Reconfigure([]trust.IssuerPolicy{p}, peers)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Hour)
		n.sever("c", false)
		n.everybody(time.Minute, "l")
		if acks := h.Acknowledgements(); len(acks[0].Missing) != 0 {
			t.Errorf("after days: %+v", acks)
		}
		// The home goes away; its tombstone stays, and so after a restart.
		h.halt(t)
		a := n.sites["a"]
		a.halt(t)
		p, peers = homed(n, "a")
		a = n.start("a", a.store, p)
		if err := a.Reconfigure([]trust.IssuerPolicy{p}, peers); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := a.keys(testIssuer); got != "l" {
			t.Errorf("a believes %q", got)
		}
		if !a.alarmed(AlarmDistrusted) {
			t.Errorf("alarms %+v", a.Alarms())
		}
	})
}

// Threat: one peer revoking good keys. A tombstone of a site that is not the bound home moves
// nobody, though it is signed well and stands under its head; nor does one where only two of the three say so.
func TestOnePeerRevokesNothing(t *testing.T) {
	for name, spoil := range map[string]func(*world, *trust.IssuerPolicy, map[trust.SiteName]Peer){
		"the operator names nobody": func(_ *world, p *trust.IssuerPolicy, _ map[trust.SiteName]Peer) { p.Home = "" },
		"the issuer names nobody":   func(w *world, _ *trust.IssuerPolicy, _ map[trust.SiteName]Peer) { w.home = "" },
		"the issuer names another":  func(w *world, _ *trust.IssuerPolicy, _ map[trust.SiteName]Peer) { w.home = "site-of-b" },
		"its record does not say so": func(_ *world, _ *trust.IssuerPolicy, peers map[trust.SiteName]Peer) {
			h := peers["h"]
			h.Issuers = nil
			peers["h"] = h
		},
		"its record is not known yet": func(_ *world, _ *trust.IssuerPolicy, peers map[trust.SiteName]Peer) {
			h := peers["h"]
			h.Recorded = false
			peers["h"] = h
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "h")
				n.world.home = "site-of-h"
				n.world.publish(testIssuer, "k", "l")
				for _, site := range []trust.SiteName{"a", "b", "h"} {
					p, peers := homed(n, site)
					if site != "h" {
						spoil(n.world, &p, peers)
					}
					n.start(site, newMemory(), p)
					if err := n.sites[site].Reconfigure([]trust.IssuerPolicy{p}, peers); err != nil {
						t.Fatal(err)
					}
				}
				if err := n.sites["h"].BeHome([]string{testIssuer}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				n.sites["h"].distrust(t, EveryKey, time.Hour)
				time.Sleep(time.Minute)
				for _, site := range []trust.SiteName{"a", "b"} {
					if got := n.sites[site].keys(testIssuer); got != "k l" {
						t.Errorf("%s believes %q", site, got)
					}
				}
			})
		})
	}
}

// Section 6: unexpired tombstones may not vanish between heads.
func TestTombstonesDoNotVanish(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	tomb := func(until time.Time) string {
		return p.seal(typTomb, tombRecord{p.net(), testIssuer, EveryKey, "stolen", noon.Unix(), until.Unix()})
	}
	with := p.bundle(1, 0, 1, trust.Digest{}, nil, tomb(noon.Add(time.Hour)))
	if _, err := d.accept(t.Context(), with); err != nil {
		t.Fatal(err)
	}
	without := p.bundle(1, 0, 2, trust.DigestOf([]byte(with.Head)), nil)
	if changed, err := d.accept(t.Context(), without); changed || !errors.Is(err, ErrRecord) {
		t.Errorf("a tombstone vanished: %t %v", changed, err)
	}
	d.now = func() time.Time { return noon.Add(61 * time.Minute) }
	if changed, err := d.accept(t.Context(), without); !changed || err != nil {
		t.Errorf("it has ended: %t %v", changed, err)
	}
	for name, r := range map[string]tombRecord{
		"another network": {"elsewhere", testIssuer, EveryKey, "", noon.Unix(), noon.Unix() + 1},
		"no issuer":       {p.net(), "", EveryKey, "", noon.Unix(), noon.Unix() + 1},
		"no key":          {p.net(), testIssuer, "k", "", noon.Unix(), noon.Unix() + 1},
		"no end":          {p.net(), testIssuer, EveryKey, "", noon.Unix(), noon.Unix()},
		"an endless life": {p.net(), testIssuer, EveryKey, "", noon.Unix(), noon.Add(MaxTombLife).Unix() + 1},
		"a long reason":   {p.net(), testIssuer, EveryKey, strings.Repeat("x", maxReason+1), noon.Unix(), noon.Unix() + 1},
	} {
		if _, err := openRecord([]byte(p.seal(typTomb, r)), p.pin, p.public()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// `issuers distrust` is instant and needs nobody; it is taken back by who said it, and what peers were told is not.
func TestDistrustIsTheOperatorsOwn(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a")
		n.world.publish(testIssuer, "k", "l")
		a := n.start("a", newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		n.everybody(time.Minute, "k l")
		revision := a.View().Revision
		a.distrust(t, "k", time.Hour)
		if a.keys(testIssuer) != "l" || a.View().Revision <= revision {
			t.Errorf("%q at revision %d after %d", a.keys(testIssuer), a.View().Revision, revision)
		}
		for name, bad := range map[string]Tombstone{
			"no such issuer": {Issuer: "https://nobody", Thumbprint: EveryKey, Until: a.clock().Add(time.Hour)},
			"no such key":    {Issuer: testIssuer, Thumbprint: "k", Until: a.clock().Add(time.Hour)},
			"in the past":    {Issuer: testIssuer, Thumbprint: EveryKey, Until: a.clock()},
			"for ever":       {Issuer: testIssuer, Thumbprint: EveryKey, Until: a.clock().Add(2 * MaxTombLife)},
			"a long reason":  {Issuer: testIssuer, Thumbprint: EveryKey, Until: a.clock().Add(time.Hour), Reason: strings.Repeat("x", maxReason+1)},
		} {
			if err := a.Distrust(t.Context(), bad); !errors.Is(err, ErrTombstone) && !errors.Is(err, ErrNotConfigured) {
				t.Errorf("%s: %v", name, err)
			}
		}
		a.halt(t)
		a = n.start("a", a.store, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		n.everybody(time.Minute, "l")
		if err := a.Undistrust(t.Context(), testIssuer, thumbprints("l")[0]); !errors.Is(err, ErrTombstone) {
			t.Errorf("%v", err)
		}
		if err := a.Undistrust(t.Context(), testIssuer, thumbprints("k")[0]); err != nil {
			t.Fatal(err)
		}
		n.everybody(time.Second, "k l")
		a.distrust(t, EveryKey, time.Hour)
		n.everybody(50*time.Minute, "")
		n.everybody(20*time.Minute, "k l")
		if got := a.store.outcomes(); got[outcomeDistrusted] != 2 || got[outcomeTrusted] != 1 {
			t.Errorf("audit: %v", maps.Clone(got))
		}
	})
}

// A site that watches as many issuers as one head has room for still tells of its tombstones: the
// last issuer is left out, with an alarm, and not the emergency.
func TestTombstonesComeBeforeSightings(t *testing.T) {
	var policies []trust.IssuerPolicy
	for i := range MaxRecords {
		policies = append(policies, trust.IssuerPolicy{Issuer: fmt.Sprintf("https://idp-%03d.example.org", i), Mode: trust.ModeDirect})
	}
	d, _, _ := lone(t, policies...)
	if err := d.BeHome([]string{policies[0].Issuer}); err != nil {
		t.Fatal(err)
	}
	tell := func() *bundle {
		var own *bundle
		if err := d.step(t.Context(), func(next *draft) error {
			for _, p := range policies {
				next.fetches[p.Issuer] = fetchState{Fetched: Fetched{JWKSURI: p.Issuer + "/jwks", Keys: ownFetch(noon, "k").Keys}, at: noon}
			}
			_, err := d.nextOwn(next, false)
			own = next.own.bundle
			return err
		}, false); err != nil {
			t.Fatal(err)
		}
		return own
	}
	// One place is for what this site says as the home of its issuer; the keys here are too bare for that.
	if own := tell(); len(own.observations) != MaxRecords-1 {
		t.Fatalf("the head tells of %d issuers", len(own.observations))
	}
	if err := d.Distrust(t.Context(), Tombstone{Issuer: policies[0].Issuer, Thumbprint: EveryKey, Until: noon.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if own := tell(); len(own.tombs) != 1 || len(own.observations) != MaxRecords-2 || len(d.state.Load().own.tooLarge) != 2 {
		t.Errorf("the head tells of %d tombstones and %d issuers", len(own.tombs), len(own.observations))
	}
}
