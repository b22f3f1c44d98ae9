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

const testIssuer = "https://idp.example.org"

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func print(name string) string { return trust.DigestOf([]byte(name)).String() }

func aKey(name string) trust.Key {
	return trust.Key{Thumbprint: print(name), KeyID: name, Algorithm: "RS256", Public: name}
}

func ownFetch(at time.Time, names ...string) Fetch {
	f := Fetch{At: at}
	for _, n := range names {
		f.Keys = append(f.Keys, aKey(n))
	}
	return f
}

func sees(site trust.SiteName, at time.Time, issuer string, names ...string) Witness {
	o := Observation{Issuer: issuer, At: at}
	for _, n := range names {
		o.Thumbprints = append(o.Thumbprints, print(n))
	}
	slices.Sort(o.Thumbprints)
	return Witness{Site: site, Issued: at, Observations: []Observation{o}}
}

func quorumPolicy(k int, witnesses ...trust.SiteName) trust.IssuerPolicy {
	return trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirectQuorum, Witnesses: witnesses, K: k}
}

// believed gives the names of the believed keys, sorted.
func believed(b Belief) string {
	var names []string
	for _, k := range b.Believed() {
		names = append(names, k.KeyID)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestBelieve(t *testing.T) {
	direct := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect}
	two := quorumPolicy(2, "a", "b", "c")
	forked := func(w Witness) Witness { w.Forked = true; return w }
	headAt := func(w Witness, at time.Time) Witness { w.Issued = at; return w }
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		policy trust.IssuerPolicy
		ev     Evidence
		want   string
	}{
		"LocalSovereignty: no policy, nothing believed": {trust.IssuerPolicy{Mode: trust.ModeDirect}, Evidence{Own: ownFetch(noon, "k")}, ""},
		"direct: what this node fetched":                {direct, Evidence{Own: ownFetch(noon, "k", "l")}, "k l"},
		"direct: witnesses change nothing":              {direct, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{sees("a", noon, testIssuer, "x"), sees("b", noon, testIssuer, "x")}}, "k"},
		"Fresh: own fetch just before it is stale":      {direct, Evidence{Own: ownFetch(noon.Add(time.Second-day), "k")}, "k"},
		"Fresh: own fetch exactly stale":                {direct, Evidence{Own: ownFetch(noon.Add(-day), "k")}, ""},
		"TimeBounds: own fetch from the future":         {direct, Evidence{Own: ownFetch(noon.Add(time.Hour), "k")}, ""},
		"TimeBounds: the floor makes it later":          {direct, Evidence{Own: ownFetch(noon.Add(-day+time.Hour), "k"), Floor: noon.Add(2 * time.Hour)}, ""},
		"manual: pinned keys only": {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeManual},
			Evidence{Pinned: []trust.Key{aKey("p")}, Own: ownFetch(noon, "k"), Sites: []Witness{sees("a", noon, testIssuer, "k")}}, "p"},
		"quorum alone is not run": {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeQuorum, Witnesses: []trust.SiteName{"a", "b"}},
			Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer, "k")}}, ""},
		"home is not run":    {trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeHome}, Evidence{Own: ownFetch(noon, "k")}, ""},
		"no mode is no mode": {trust.IssuerPolicy{Issuer: testIssuer}, Evidence{Own: ownFetch(noon, "k")}, ""},

		"both agree": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer, "k")}}, "k"},
		"NoInjection: one witness is not two": {two, Evidence{Own: ownFetch(noon, "x"), Sites: []Witness{
			sees("a", noon, testIssuer, "x"), sees("b", noon, testIssuer, "k")}}, ""},
		"NoInjection: all witnesses, but not this node's own fetch": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "x"), sees("b", noon, testIssuer, "x"), sees("c", noon, testIssuer, "x")}}, ""},
		"NoInjection: one site that says it twice has one vote": {two, Evidence{Own: ownFetch(noon, "x"), Sites: []Witness{
			sees("a", noon, testIssuer, "x"), sees("a", noon, testIssuer, "x"),
			{Site: "b", Issued: noon, Observations: []Observation{sees("b", noon, "https://other", "x").Observations[0]}}}}, ""},
		"this site is not its own witness": {quorumPolicy(2, "me", "a"), Evidence{Self: "me", Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("me", noon, testIssuer, "k"), sees("a", noon, testIssuer, "k")}}, ""},
		"SybilNeutral: sites that are not named change nothing": {two, Evidence{Own: ownFetch(noon, "x"), Sites: []Witness{
			sees("a", noon, testIssuer, "x"), sees("s1", noon, testIssuer, "x"), sees("s2", noon, testIssuer, "x"), sees("s3", noon, testIssuer, "x")}}, ""},
		"IssuerIsolation: another issuer's observations do not count": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer+"/", "k"), sees("c", noon, "https://IDP.example.org", "k")}}, ""},
		"ForkDetected: a forked site has no vote": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			forked(sees("a", noon, testIssuer, "k")), sees("b", noon, testIssuer, "k")}}, ""},
		"Fresh: a stale head has no vote": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			headAt(sees("a", noon, testIssuer, "k"), noon.Add(-day)), sees("b", noon, testIssuer, "k")}}, ""},
		"Fresh: a stale observation under a fresh head has no vote": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			headAt(sees("a", noon.Add(-day), testIssuer, "k"), noon), sees("b", noon, testIssuer, "k")}}, ""},
		"TimeBounds: a head from the future has no vote": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			headAt(sees("a", noon, testIssuer, "k"), noon.Add(time.Hour)), sees("b", noon, testIssuer, "k")}}, ""},
		"SingleFaultLiveness: one of three silent": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), sees("c", noon, testIssuer, "k")}}, "k"},
		"SingleFaultLiveness: one empty witness changes nothing": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), {Site: "b", Issued: noon}, sees("c", noon, testIssuer, "k")}}, "k"},
		"a withdrawn key goes, though witnesses still show it": {two, Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k", "old"), sees("b", noon, testIssuer, "k", "old"), sees("c", noon, testIssuer, "k", "old")}}, "k"},
		"default K: two of three": {quorumPolicy(0, "a", "b", "c"), Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer, "k")}}, "k"},
		"default K: never one": {quorumPolicy(0, "a"), Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{sees("a", noon, testIssuer, "k")}}, ""},
		"default K: a witness named twice is one": {quorumPolicy(0, "a", "a", "b", "b"), Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer, "k")}}, "k"},
		"default K: majority of five": {quorumPolicy(0, "a", "b", "c", "d", "e"), Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{
			sees("a", noon, testIssuer, "k"), sees("b", noon, testIssuer, "k")}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.ev.Self == "" {
				test.ev.Self = "me"
			}
			b := Believe(test.policy, test.ev, noon)
			if got := believed(b); got != test.want {
				t.Errorf("believed %q, want %q; %+v", got, test.want, b)
			}
			for _, k := range b.Keys {
				if k.Why == "" || k.Believed == k.Until.IsZero() {
					t.Errorf("key %s: believed %v until %v because %q", k.KeyID, k.Believed, k.Until, k.Why)
				}
			}
			if len(b.Keys) == 0 && test.want == "" && b.Problem == "" {
				t.Error("nothing is said about why")
			}
		})
	}
}

// Until is when the vote would fail: with the k-th longest lasting witness, or
// this node's own fetch, whichever is earlier.
func TestUntil(t *testing.T) {
	ago := func(h int) time.Time { return noon.Add(-time.Duration(h) * time.Hour) }
	ev := Evidence{Self: "me", Own: ownFetch(ago(1), "k"), Sites: []Witness{
		sees("a", ago(2), testIssuer, "k"), sees("b", ago(20), testIssuer, "k"), sees("c", ago(5), testIssuer, "k")}}
	for k, want := range map[int]time.Time{1: ago(2), 2: ago(5), 3: ago(20)} {
		b := Believe(quorumPolicy(k, "a", "b", "c"), ev, noon)
		if got := b.Keys[0].Until; !got.Equal(want.Add(DefaultStale)) || !b.Next().Equal(got) {
			t.Errorf("k=%d: until %v, want %v", k, got, want.Add(DefaultStale))
		}
		if after := Believe(quorumPolicy(k, "a", "b", "c"), ev, b.Keys[0].Until); believed(after) != "" {
			t.Errorf("k=%d: still believed at Until", k)
		}
	}
	long := quorumPolicy(1, "a")
	long.MaxStale = 1000 * time.Hour
	if got := Believe(long, ev, noon).Keys[0].Until; !got.Equal(ago(2).Add(MaxStale)) {
		t.Errorf("max_stale is not capped: %v", got)
	}
}

// NoInjection, IssuerIsolation, Fresh and SybilNeutral together, for any
// evidence: a believed key was in this node's own fetch and was named by at least k
// distinct, named, fresh, unforked witnesses, for exactly this issuer.
func TestNoInjectionHolds(t *testing.T) {
	names := []string{"k", "l", "x"}
	sites := []trust.SiteName{"me", "a", "b", "c", "s"}
	rapid.Check(t, func(rt *rapid.T) {
		at := func(label string) time.Time {
			return noon.Add(-time.Duration(rapid.IntRange(-2, 30).Draw(rt, label)) * time.Hour)
		}
		keys := func(label string) []string {
			return rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(rt, label)
		}
		ev := Evidence{Self: "me", Own: ownFetch(at("own"), keys("own keys")...)}
		for i := range rapid.IntRange(0, 8).Draw(rt, "witnesses") {
			w := sees(rapid.SampledFrom(sites).Draw(rt, "site"), at("seen"), rapid.SampledFrom([]string{testIssuer, "https://other"}).Draw(rt, "issuer"), keys(fmt.Sprint("keys ", i))...)
			w.Issued, w.Forked = at("issued"), rapid.Bool().Draw(rt, "forked")
			ev.Sites = append(ev.Sites, w)
		}
		p := quorumPolicy(rapid.IntRange(0, 3).Draw(rt, "k"), "me", "a", "b", "c")
		b := Believe(p, ev, noon)
		for _, k := range b.Believed() {
			voters := map[trust.SiteName]bool{}
			for _, w := range ev.Sites {
				for _, o := range w.Observations {
					if w.Site != "me" && slices.Contains(p.Witnesses, w.Site) && !w.Forked && o.Issuer == testIssuer && slices.Contains(o.Thumbprints, k.Thumbprint) &&
						noon.Sub(w.Issued) < DefaultStale && noon.Sub(o.At) < DefaultStale {
						voters[w.Site] = true
					}
				}
			}
			if len(voters) < max(p.K, 1) || len(voters) < b.Needed || !slices.ContainsFunc(ev.Own.Keys, func(o trust.Key) bool { return o.Thumbprint == k.Thumbprint }) {
				rt.Fatalf("key %s is believed with voters %v", k.KeyID, voters)
			}
			if !k.Until.After(noon) {
				rt.Fatalf("key %s is believed until %v, which is past", k.KeyID, k.Until)
			}
		}
		shuffled := ev
		shuffled.Sites = rapid.Permutation(ev.Sites).Draw(rt, "order")
		if again := Believe(p, shuffled, noon); believed(again) != believed(b) || !again.Next().Equal(b.Next()) {
			rt.Fatal("the order of the evidence changes the result")
		}
	})
}

// Section 7: the same key under two issuers stays with the one that had it
// first; pinned keys are the operator's word and are never held back.
func TestSharedKeyIsHeldBack(t *testing.T) {
	belief := func(issuer string, names ...string) Belief {
		return Believe(trust.IssuerPolicy{Issuer: issuer, Mode: trust.ModeDirect}, Evidence{Own: ownFetch(noon, names...)}, noon)
	}
	beliefs := map[string]Belief{"A": belief("A", "k", "a"), "B": belief("B", "k", "b"), "C": belief("C", "k")}
	when := map[string]time.Time{"A": noon, "B": noon.Add(-time.Hour), "C": {}}
	shared := quarantineShared(beliefs, func(issuer, _ string) time.Time { return when[issuer] })
	if got := believed(beliefs["A"]) + "|" + believed(beliefs["B"]) + "|" + believed(beliefs["C"]); got != "a|b|k" {
		t.Errorf("believed %s", got)
	}
	if got := shared[print("k")]; !slices.Equal(got, []string{"A", "B", "C"}) || len(shared) != 1 {
		t.Errorf("shared %v", shared)
	}
}

// A verdict that is cached must not outlive a key whose evidence now ends earlier.
func TestDiffers(t *testing.T) {
	view := func(until time.Time, kid string) *trust.View {
		k := trust.BelievedKey{Key: aKey("k"), Until: until}
		k.KeyID = kid
		return &trust.View{Issuers: map[string]trust.IssuerView{testIssuer: {Policy: quorumPolicy(2, "a"), Keys: []trust.BelievedKey{k}}}}
	}
	base := view(noon, "k")
	policy, address := view(noon, "k"), view(noon, "k")
	policy.Issuers[testIssuer] = trust.IssuerView{Policy: quorumPolicy(1, "a"), Keys: base.Issuers[testIssuer].Keys}
	address.Issuers[testIssuer] = trust.IssuerView{Policy: quorumPolicy(2, "a"), Keys: base.Issuers[testIssuer].Keys, JWKSURI: "x"}
	for name, test := range map[string]struct {
		next *trust.View
		want bool
	}{
		"the same": {view(noon, "k"), false}, "lasts longer": {view(noon.Add(1), "k"), false}, "ends earlier": {view(noon.Add(-1), "k"), true},
		"another kid": {view(noon, "l"), true}, "nothing": {&trust.View{}, true}, "policy": {policy, true}, "address": {address, true},
	} {
		if got := differs(base, test.next); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
