package issuers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
)

// Binding ladder, L2: a client id binds to the one site that claims it.
func TestClientIDs(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, ClientIDs: []string{"mine", "contested"}})
	q := newSigner("q")
	announce := func(s signer, ver int64, ids ...string) {
		t.Helper()
		r := s.siteRecord(1, ver, map[string][]string{testIssuer: ids, "https://unconfigured": {"x"}})
		if _, err := d.accept(t.Context(), s.bundleWith(r, ver, d.state.Load().author(s.site).last(), nil)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(site trust.SiteName, want ...string) {
		t.Helper()
		if got := d.ClientIDs(testIssuer, site); !slices.Equal(got, want) {
			t.Errorf("%q has %q, not %q", site, got, want)
		}
	}
	announce(p, 1, "p1", "p2", "contested")
	check("", "mine", "contested")
	check("a", "mine", "contested")
	check("p", "p1", "p2")
	check("q")
	check("nobody")
	announce(q, 1, "q1", "p2", "mine")
	check("p", "p1")
	check("q", "q1")
	check("", "mine", "contested")
	if !slices.ContainsFunc(d.Alarms(), func(a Alarm) bool { return a.Code == AlarmClientID && strings.Contains(a.Message, `"p2"`) }) {
		t.Errorf("alarms %+v", d.Alarms())
	}
	if got := d.ClientIDs("https://unconfigured", "p"); got != nil {
		t.Errorf("an issuer that is not configured binds %q", got)
	}
	announce(q, 2, "q1")
	check("p", "p1", "p2")
	// Stale, forked or removed: nothing binds, and nothing is contested.
	fork := p.bundleWith(p.siteRecord(1, 1, nil), 1, trust.Digest{}, nil)
	if _, err := d.accept(t.Context(), fork); err != nil {
		t.Fatal(err)
	}
	check("p")
	d.now = func() time.Time { return noon.Add(MaxStale) }
	check("q")
	check("", "mine", "contested")
	if err := d.Reconfigure(nil, nil); err != nil {
		t.Fatal(err)
	}
	check("")
}

// What the operator wrote down holds against whatever peers announce: a liar can
// neither take another's id nor put it in dispute, also where the owner is unknown or
// silent.
func TestWrittenClientIDsCannotBeClaimed(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, ClientIDs: []string{"mine"},
		PeerClientIDs: map[trust.SiteName][]string{"p": {"p-node"}, "gone": {"gone-node"}}})
	q := newSigner("q")
	r := q.siteRecord(1, 1, map[string][]string{testIssuer: {"q-node", "p-node", "gone-node", "mine"}})
	if _, err := d.accept(t.Context(), q.bundleWith(r, 1, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	check := func(site trust.SiteName, want ...string) {
		t.Helper()
		if got := d.ClientIDs(testIssuer, site); !slices.Equal(got, want) {
			t.Errorf("%q has %q, not %q", site, got, want)
		}
	}
	check("p", "p-node") // although p has announced nothing
	check("q", "q-node")
	check("gone") // not a peer: it forwards nothing
	check("", "mine")
	void := 0
	for _, a := range d.Alarms() {
		if a.Code == AlarmClientID && strings.Contains(a.Message, "the claim is void") {
			void++
		}
	}
	if void != 2 {
		t.Errorf("%d claims are called void: %+v", void, d.Alarms())
	}
	// What p itself announces beside it counts for nothing either.
	r = p.siteRecord(1, 1, map[string][]string{testIssuer: {"more"}})
	if _, err := d.accept(t.Context(), p.bundleWith(r, 1, trust.Digest{}, nil)); err != nil {
		t.Fatal(err)
	}
	check("p", "p-node")
	d.now = func() time.Time { return noon.Add(2 * MaxStale) }
	check("p", "p-node")
}

// last gives the digest of the newest head held.
func (a *author) last() trust.Digest {
	if a == nil || a.bundle == nil {
		return trust.Digest{}
	}
	return a.bundle.head.hash
}

// A client id binds a peer exactly if that peer alone claims it, whatever the others
// claim and in whatever order they are known; this site's own are never taken from it.
func TestClientIDsAgainstTheModel(t *testing.T) {
	ids := []string{"x", "y", "z"}
	peers := []trust.SiteName{"p", "q", "r"}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(label string) []string { return rapid.SliceOfN(rapid.SampledFrom(ids), 0, 4).Draw(rt, label) }
		s := &state{policies: map[string]trust.IssuerPolicy{testIssuer: {Issuer: testIssuer, ClientIDs: draw("own")}},
			peers: map[trust.SiteName]trust.NodeID{}, authors: map[trust.SiteName]*author{}}
		claims := map[trust.SiteName][]string{"a": s.policies[testIssuer].ClientIDs}
		for _, name := range peers {
			claims[name] = draw(string(name))
			s.peers[name] = "node " + trust.NodeID(name)
			s.authors[name] = &author{pin: pin{testNetwork, name, s.peers[name]},
				bundle: &bundle{site: siteRecord{ClientIDs: map[string][]string{testIssuer: claims[name], "https://other": ids}}}}
			if rapid.IntRange(0, 4).Draw(rt, "forked") == 0 {
				s.authors[name].bundle, claims[name] = nil, nil
			}
		}
		bound, alarms := bind(s, "a")
		contested := 0
		for _, id := range ids {
			var claimants []trust.SiteName
			for _, name := range append([]trust.SiteName{"a"}, peers...) {
				if slices.Contains(claims[name], id) {
					claimants = append(claimants, name)
				}
			}
			for _, name := range peers {
				want := slices.Equal(claimants, []trust.SiteName{name})
				if got := slices.Contains(bound[testIssuer][name], id); got != want {
					rt.Fatalf("%s binds %s: %v; claimed by %v", id, name, got, claimants)
				}
			}
			if len(claimants) > 1 {
				contested++
			}
		}
		if !slices.Equal(bound[testIssuer]["a"], claims["a"]) || len(bound) != 1 {
			rt.Fatalf("own %v, bound %v", claims["a"], bound)
		}
		if len(alarms) != contested {
			rt.Fatalf("%d alarms for %d contested ids", len(alarms), contested)
		}
	})
}

// A site record that has expired binds nothing, though the site still speaks; and an
// alarm about a contested id ends when one of the two gives it up.
func TestClientIDsEnd(t *testing.T) {
	now := noon
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	d.now = func() time.Time { return now }
	q := newSigner("q")
	announce := func(s signer, ver int64, ids ...string) {
		t.Helper()
		r := s.siteRecord(1, ver, map[string][]string{testIssuer: ids})
		r.Expires = noon.Add(time.Hour).Unix()
		if _, err := d.accept(t.Context(), s.bundleWith(r, ver, d.state.Load().author(s.site).last(), nil)); err != nil {
			t.Fatal(err)
		}
	}
	announce(p, 1, "x")
	announce(q, 1, "x", "y")
	if _, ok := d.alarm(AlarmClientID, testIssuer, ""); !ok || d.ClientIDs(testIssuer, "p") != nil || !slices.Equal(d.ClientIDs(testIssuer, "q"), []string{"y"}) {
		t.Errorf("p %v, q %v, alarms %+v", d.ClientIDs(testIssuer, "p"), d.ClientIDs(testIssuer, "q"), d.Alarms())
	}
	announce(q, 2, "y")
	if _, ok := d.alarm(AlarmClientID, testIssuer, ""); ok || !slices.Equal(d.ClientIDs(testIssuer, "p"), []string{"x"}) {
		t.Errorf("p %v, alarms %+v", d.ClientIDs(testIssuer, "p"), d.Alarms())
	}
	now = noon.Add(time.Hour - time.Second)
	if got := d.ClientIDs(testIssuer, "p"); len(got) != 1 {
		t.Errorf("a second before its record expires p has %v", got)
	}
	now = noon.Add(time.Hour)
	if got := d.ClientIDs(testIssuer, "p"); got != nil {
		t.Errorf("p has %v by a record that expired", got)
	}
}

// This site's own client ids must fit what its peers take, or its operator hears it
// before anything is changed.
func TestTooManyClientIDs(t *testing.T) {
	d, _, _ := lone(t)
	many := func(n, length int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprintf("%0*d", length, i))
		}
		return ids
	}
	for name, test := range map[string]struct {
		issuers, ids, length int
		ok                   bool
	}{
		"as many as may be": {1, maxClientIDs, 100, true}, "one more": {1, maxClientIDs + 1, 100, false},
		"as long as may be": {1, 1, maxClientIDBytes, true}, "one byte longer": {1, 1, maxClientIDBytes + 1, false},
		"a record that is too large": {3, maxClientIDs, 100, false},
	} {
		var policies []trust.IssuerPolicy
		for i := range test.issuers {
			policies = append(policies, trust.IssuerPolicy{Issuer: fmt.Sprint(testIssuer, i), Mode: trust.ModeDirect, ClientIDs: many(test.ids, test.length)})
		}
		err := d.Reconfigure(policies, nil)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if _, err := d.publish(t.Context(), true); err != nil {
				t.Errorf("%s: taken, and then not published: %v", name, err)
			}
		}
	}
}
