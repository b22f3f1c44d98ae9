package issuers

import (
	"slices"
	"strings"
	"testing"
	"time"

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

// last gives the digest of the newest head held.
func (a *author) last() trust.Digest {
	if a == nil || a.bundle == nil {
		return trust.Digest{}
	}
	return a.bundle.head.hash
}
