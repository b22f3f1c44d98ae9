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

// tells is sees with the keys themselves: the key set goes into bodies.
func tells(bodies map[trust.Digest][]trust.Key, site trust.SiteName, at time.Time, kids ...string) Witness {
	_, keys := jwks(kids...)
	return tellsKeys(bodies, site, at, keys)
}

func tellsKeys(bodies map[trust.Digest][]trust.Key, site trust.SiteName, at time.Time, keys []trust.Key) Witness {
	o := Observation{Issuer: testIssuer, JWKSURI: testIssuer + "/jwks", At: at}
	id := string(site)
	for _, k := range keys {
		o.Thumbprints = append(o.Thumbprints, k.Thumbprint)
		id += k.Thumbprint + k.KeyID
	}
	slices.Sort(o.Thumbprints)
	o.Thumbprints = slices.Compact(o.Thumbprints)
	o.KeySet = trust.DigestOf([]byte(id))
	bodies[o.KeySet] = keys
	return Witness{Site: site, Issued: at, Observations: []Observation{o}}
}

func quorumOf(witnesses ...trust.SiteName) trust.IssuerPolicy {
	return trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeQuorum, K: 2, Witnesses: witnesses, Kinds: []trust.Kind{trust.KindPassport}}
}

// Section 7, mode quorum, with invariants 1 (NoInjection), 2 (IssuerIsolation), 7 (Fresh), 8 and 11 (SybilNeutral): what
// k vantages saw, in the words of as many of them, and nothing else.
func TestBelieveQuorum(t *testing.T) {
	bodies := map[trust.Digest][]trust.Key{}
	b, c, e := tells(bodies, "b", noon, "k", "l"), tells(bodies, "c", noon, "k"), tells(bodies, "e", noon, "k")
	without := sees("b", noon, testIssuer)
	without.Observations[0].Thumbprints, without.Observations[0].JWKSURI = thumbprints("k"), testIssuer+"/jwks"
	forked := c
	forked.Forked = true
	old := tells(bodies, "c", noon.Add(-25*time.Hour), "k")
	elsewhere := tells(bodies, "c", noon, "k")
	elsewhere.Observations = slices.Clone(elsewhere.Observations)
	elsewhere.Observations[0].Issuer = "https://other.example.org"
	_, renamed := jwks("k")
	renamed[0].KeyID = "l"
	other := tellsKeys(bodies, "c", noon, renamed)
	extra := tells(bodies, "c", noon, "l") // its key set has more than it says that it saw
	bodies[extra.Observations[0].KeySet] = bodies[b.Observations[0].KeySet]
	_, misnamed := jwks("k", "l")
	for i := range misnamed {
		if misnamed[i].KeyID == "k" {
			misnamed[i].KeyID = "misnamed"
		}
	}
	// Two that saw only l, and whose key sets give k another name.
	meddling := func(site trust.SiteName) Witness {
		w := tellsKeys(bodies, site, noon, misnamed)
		w.Observations[0].Thumbprints = thumbprints("l")
		return w
	}
	grouped := quorumOf("b", "c")
	grouped.Groups = map[trust.SiteName]string{"b": "one", "c": "one"}
	onlyRSA := quorumOf("b", "c")
	onlyRSA.Algorithms = []string{"RS256"}
	for name, test := range map[string]struct {
		policy trust.IssuerPolicy
		ev     Evidence
		want   string
	}{
		"two of two":                             {quorumOf("b", "c"), Evidence{Sites: []Witness{b, c}}, "k"},
		"two of three":                           {quorumOf("b", "c", "e"), Evidence{Sites: []Witness{b, c, e}}, "k"},
		"one":                                    {quorumOf("b", "c"), Evidence{Sites: []Witness{b}}, ""},
		"one twice":                              {quorumOf("b", "c"), Evidence{Sites: []Witness{b, b}}, ""},
		"strangers":                              {quorumOf("b", "f"), Evidence{Sites: []Witness{b, c, e}}, ""},
		"this site is none of its witnesses":     {quorumOf("a", "b", "c"), Evidence{Self: "a", Sites: []Witness{b, tells(bodies, "a", noon, "k")}}, ""},
		"two of one vantage":                     {grouped, Evidence{Sites: []Witness{b, c}}, ""},
		"one that forked":                        {quorumOf("b", "c"), Evidence{Sites: []Witness{b, forked}}, ""},
		"one that is stale":                      {quorumOf("b", "c"), Evidence{Sites: []Witness{b, old}}, ""},
		"one of another issuer":                  {quorumOf("b", "c"), Evidence{Sites: []Witness{b, elsewhere}}, ""},
		"one gives only thumbprints":             {quorumOf("b", "c"), Evidence{Sites: []Witness{without, c}}, "k"},
		"both give only thumbprints":             {quorumOf("b", "c"), Evidence{Sites: []Witness{without, sees("c", noon, testIssuer, "k")}}, ""},
		"one gives the key another kid":          {quorumOf("b", "c"), Evidence{Sites: []Witness{b, other}}, ""},
		"one shows what it does not claim":       {quorumOf("b", "c"), Evidence{Sites: []Witness{b, extra}}, "l"},
		"who did not see a key does not name it": {quorumOf("b", "c", "e", "f"), Evidence{Sites: []Witness{b, c, meddling("e"), meddling("f")}}, "k l"},
		"the operator's tombstone":               {quorumOf("b", "c"), Evidence{Sites: []Witness{b, c}, Buried: []Tombstone{buried(EveryKey, noon.Add(time.Hour))}}, ""},
		"only RSA is taken":                      {onlyRSA, Evidence{Sites: []Witness{b, c}}, ""},
		"this node's own fetch counts nothing":   {quorumOf("b", "c"), Evidence{Own: ownFetch(noon, "k"), Sites: []Witness{b}}, ""},
	} {
		test.ev.Bodies = bodies
		got := Believe(test.policy, test.ev, noon)
		if believed(got) != test.want {
			t.Errorf("%s: believed %q, not %q: %+v", name, believed(got), test.want, got.Keys)
		}
		for _, k := range got.Keys {
			if k.Believed && (k.Public == nil || len(k.SeenBy) < 2 || !k.Until.Equal(noon.Add(DefaultStale))) {
				t.Errorf("%s: %+v", name, k)
			}
			if k.Why == "" {
				t.Errorf("%s: no reason for %+v", name, k)
			}
		}
		if test.want != "" && got.JWKSURI != testIssuer+"/jwks" {
			t.Errorf("%s: jwks_uri %q", name, got.JWKSURI)
		}
	}
	// Two keys of one kid, each seen by enough: a token cannot say which it means.
	_, two := jwks("k", "l")
	two[1].KeyID = two[0].KeyID
	first, second := []trust.Key{two[0]}, []trust.Key{two[1]}
	ev := Evidence{Bodies: bodies, Sites: []Witness{tellsKeys(bodies, "b", noon, first), tellsKeys(bodies, "c", noon, first), tellsKeys(bodies, "e", noon, second), tellsKeys(bodies, "f", noon, second)}}
	if got := Believe(quorumOf("b", "c", "e", "f"), ev, noon); believed(got) != "" || len(got.Keys) != 2 {
		t.Errorf("two keys of one kid: %+v", got.Keys)
	}
}

// NoInjection: whatever fewer than k vantages say and give, no key of theirs alone is believed; and the order of
// evidence means nothing.
func TestQuorumNeedsItsWitnesses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bodies := map[trust.Digest][]trust.Key{}
		names := []trust.SiteName{"b", "c", "e", "f"}
		p := quorumOf(names[:3]...)
		p.K = rapid.IntRange(2, 3).Draw(rt, "k")
		saw := map[string]int{}
		var sites []Witness
		for _, site := range names {
			kids := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"k", "l", "m"}), 0, 3, rapid.ID).Draw(rt, string(site))
			if len(kids) == 0 {
				continue
			}
			age := time.Duration(rapid.IntRange(0, 30).Draw(rt, "age")) * time.Hour
			w := tells(bodies, site, noon.Add(-age), kids...)
			w.Forked = rapid.Bool().Draw(rt, "forked")
			sites = append(sites, w)
			if slices.Contains(p.Witnesses, site) && age < DefaultStale && !w.Forked {
				for _, kid := range kids {
					saw[kid]++
				}
			}
		}
		got := believed(Believe(p, Evidence{Sites: sites, Bodies: bodies}, noon))
		for _, kid := range []string{"k", "l", "m"} {
			if has := slices.Contains(strings.Fields(got), kid); has != (saw[kid] >= p.K) {
				rt.Fatalf("%s is believed: %t, with %d of %d witnesses", kid, has, saw[kid], p.K)
			}
		}
		if again := believed(Believe(p, Evidence{Sites: rapid.Permutation(append(slices.Clone(sites), sites...)).Draw(rt, "order"), Bodies: bodies}, noon)); again != got {
			rt.Fatalf("%q, and in another order %q", got, again)
		}
	})
}

// Section 7, mode home: the keys in the bound home's issuer record; nobody else's word, and not the home's observations.
func TestBelieveHome(t *testing.T) {
	bodies := map[trust.Digest][]trust.Key{}
	word := func(site trust.SiteName, at time.Time, kids ...string) Witness {
		w := tells(bodies, site, at, kids...)
		o := w.Observations[0]
		w.Words = []IssuerWord{{Issuer: testIssuer, JWKSURI: o.JWKSURI, KeySet: o.KeySet, Thumbprints: o.Thumbprints, At: at}}
		return w
	}
	h, other := word("h", noon, "k", "l"), word("b", noon, "m")
	only := h
	only.Words = nil
	forked := h
	forked.Forked = true
	foreign := word("h", noon, "k")
	foreign.Words[0].Issuer = "https://other.example.org"
	claimed := word("h", noon, "k")
	claimed.Words[0].Thumbprints = []string{print("l")}
	oldHead, oldSight := word("h", noon, "k"), word("h", noon, "k")
	oldHead.Issued, oldSight.Words[0].At = noon.Add(-25*time.Hour), noon.Add(-25*time.Hour)
	twins := word("h", noon, "k", "l")
	_, pair := jwks("k", "l")
	pair[0].KeyID, pair[1].KeyID = "same", "same"
	twins.Words[0].KeySet = trust.DigestOf([]byte("a set with one kid for two keys"))
	bodies[twins.Words[0].KeySet] = pair
	p := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeHome, Home: "h", Kinds: []trust.Kind{trust.KindPassport}}
	for name, test := range map[string]struct {
		ev   Evidence
		want string
	}{
		"the bound home's":        {Evidence{Home: "h", Sites: []Witness{other, h}}, "k l"},
		"it is not bound":         {Evidence{Sites: []Witness{h}}, ""},
		"another's":               {Evidence{Home: "h", Sites: []Witness{other}}, ""},
		"it only observed":        {Evidence{Home: "h", Sites: []Witness{only}}, ""},
		"it forked":               {Evidence{Home: "h", Sites: []Witness{forked}}, ""},
		"its word is stale":       {Evidence{Home: "h", Sites: []Witness{word("h", noon.Add(-25*time.Hour), "k")}}, ""},
		"its head is stale":       {Evidence{Home: "h", Sites: []Witness{oldHead}}, ""},
		"its sighting is stale":   {Evidence{Home: "h", Sites: []Witness{oldSight}}, ""},
		"one kid for two keys":    {Evidence{Home: "h", Sites: []Witness{twins}}, ""},
		"about another issuer":    {Evidence{Home: "h", Sites: []Witness{foreign}}, ""},
		"a key that it names not": {Evidence{Home: "h", Sites: []Witness{claimed}}, ""},
		"its own tombstone":       {Evidence{Home: "h", Sites: []Witness{{Site: "h", Issued: noon, Words: h.Words, Tombs: []Tombstone{buried(thumbprints("k")[0], noon.Add(time.Hour))}}}}, "l"},
	} {
		test.ev.Bodies = bodies
		got := Believe(p, test.ev, noon)
		if believed(got) != test.want || (got.Problem != "") != (test.ev.Home == "") {
			t.Errorf("%s: %q, not %q: %+v", name, believed(got), test.want, got)
		}
	}
}

// SybilNeutral, BoundedState: a peer that no policy names as a witness, or as the home, makes this site keep or ask for no key set,
// in either mode.
func TestOnlyTheNamedMakeOneKeepKeySets(t *testing.T) {
	home := trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeHome, Home: "p", Kinds: []trust.Kind{trust.KindPassport}}
	other := home
	other.Home = "q"
	for name, test := range map[string]struct {
		policy trust.IssuerPolicy
		kept   bool
	}{
		"a witness": {quorumOf("p", "q"), true}, "no witness": {quorumOf("q", "r"), false},
		"the home": {home, true}, "another site's home": {other, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, s, _ := lone(t, test.policy)
			body, _ := jwks("k")
			obs := s.seal(typObs, obsRecord{s.net(), testIssuer, "", trust.Digest{}, []string{print("k")}, noon.Unix(), trust.DigestOf(body), ""})
			word := s.seal(typWord, wordRecord{s.net(), testIssuer, testIssuer + "/jwks", trust.Digest{}, trust.DigestOf(body), []string{print("k")}, []string{"ES256"}, []trust.Kind{trust.KindPassport}, noon.Unix(), 300})
			if _, err := d.accept(t.Context(), s.bundle(1, 0, 1, trust.Digest{}, nil, obs, word)); err != nil {
				t.Fatal(err)
			}
			asked := len(d.state.Load().lacking())
			err := d.takeBlob(t.Context(), body)
			if (asked == 1) != test.kept || (err == nil) != test.kept {
				t.Errorf("%d asked for, taken: %v", asked, err)
			}
		})
	}
}

// cutOff makes one site unable to reach the issuer at all: a hospital whose firewall lets nothing out.
func (n *network) cutOff(site trust.SiteName) { n.world.show(site, testIssuer) }

// A site that can ask no issuer believes what its witnesses saw, gets the keys from them, follows a rotation and a
// withdrawal, and still does after a restart; its own store has what it needs and nothing else. When the issuer is
// asked for an unknown kid's sake, the witnesses do it.
func TestQuorumWithoutEgress(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c", "e")
		n.world.publish(testIssuer, "k")
		p := quorumOf("b", "c", "e")
		n.cutOff("a")
		n.start("a", newMemory(), p)
		for _, name := range []trust.SiteName{"b", "c", "e"} {
			n.start(name, newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, NoContinuity: true, Kinds: p.Kinds})
		}
		n.everybody(time.Minute, "k")
		a := n.sites["a"]
		if got := n.world.count("a"); got != 0 {
			t.Errorf("it asked the issuer %d times", got)
		}
		if alarms := a.Alarms(); len(alarms) != 0 {
			t.Errorf("alarms %+v", alarms)
		}
		iv, _ := a.View().Lookup(testIssuer)
		if iv.JWKSURI != testIssuer+"/jwks" || iv.Keys[0].Public == nil {
			t.Errorf("the view has %+v", iv)
		}
		n.world.publish(testIssuer, "k", "l")
		if !a.Refresh(t.Context(), testIssuer) || a.keys(testIssuer) != "k l" {
			t.Errorf("after an unknown kid: %q", a.keys(testIssuer))
		}
		n.world.publish(testIssuer, "l", "m")
		n.everybody(2*DefaultPoll, "l m")
		blobs := func() (held []string) {
			for _, key := range slices.Sorted(maps.Keys(a.store.backup().entries)) {
				if strings.HasPrefix(key, keyBlob) {
					held = append(held, key)
				}
			}
			return held
		}
		if got := blobs(); len(got) != 1 {
			t.Errorf("it keeps %v", got)
		}
		a.halt(t)
		for _, other := range []trust.SiteName{"b", "c", "e"} {
			n.sever(other, true)
		}
		a = n.start("a", a.store, p)
		if got := a.keys(testIssuer); got != "l m" {
			t.Errorf("after a restart, alone: %q", got)
		}
		time.Sleep(25 * time.Hour)
		if got := a.keys(testIssuer); got != "" || !a.alarmed(AlarmQuorum) {
			t.Errorf("after a day alone: %q, alarms %+v", got, a.Alarms())
		}
		for _, other := range []trust.SiteName{"b", "c", "e"} {
			n.sever(other, false)
		}
		n.everybody(2*DefaultPoll, "l m")
		// In another mode the key sets of others are let go.
		if err := a.Reconfigure([]trust.IssuerPolicy{{Issuer: testIssuer, Mode: trust.ModeDirect}}, pinned(n.peersOf("a"))); err != nil {
			t.Fatal(err)
		}
		if got := blobs(); len(got) != 0 {
			t.Errorf("in mode direct it keeps %v", got)
		}
	})
}

// Mode home with all three words: also for a site without egress, to whom witnesses say what the issuer's origin names.
// Who is the home by fewer words gives nobody a key. A total key change is the home's to confirm, and needs nobody else.
func TestHomeWithAndWithoutEgress(t *testing.T) {
	all := []trust.SiteName{"b", "c", "h"}
	for name, test := range map[string]struct {
		egress    bool
		witnesses []trust.SiteName
		origin    trust.SiteID
		want      string
	}{
		"it asks the issuer itself":              {true, nil, "site-of-h", "k l"},
		"its witnesses asked the issuer":         {false, all, "site-of-h", "k l"},
		"one witness asked, and the home itself": {false, []trust.SiteName{"b", "h"}, "site-of-h", ""},
		"too few witnesses asked":                {false, []trust.SiteName{"b"}, "site-of-h", ""},
		"nobody whom it believes has asked":      {false, nil, "site-of-h", ""},
		"the issuer names nobody":                {true, all, "", ""},
		"the issuer names another":               {true, all, "site-of-b", ""},
		"the witnesses say that it names nobody": {false, all, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T) {
				n := newNetwork(t, "a", "b", "c", "h")
				n.world.home = test.origin
				n.world.publish(testIssuer, "k", "l")
				for _, site := range []trust.SiteName{"b", "c", "h"} {
					_, peers := homed(n, site)
					n.startWith(site, newMemory(), peers, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect, NoContinuity: true})
				}
				if err := n.sites["h"].BeHome([]string{testIssuer}); err != nil {
					t.Fatal(err)
				}
				if !test.egress {
					n.cutOff("a")
				}
				p, peers := homed(n, "a")
				p.Mode, p.K, p.Witnesses, p.NoContinuity = trust.ModeHome, 0, nil, false
				if test.witnesses != nil {
					p.Witnesses, p.K = test.witnesses, 2
				}
				a := n.startWith("a", newMemory(), peers, p)
				time.Sleep(2 * time.Minute)
				if got := a.keys(testIssuer); got != test.want {
					e, _ := a.Explain(testIssuer)
					t.Fatalf("it believes %q, not %q: %+v", got, test.want, e)
				}
				if test.want == "" {
					if !a.alarmed(AlarmMode) {
						t.Errorf("alarms %+v", a.Alarms())
					}
					return
				}
				n.world.publish(testIssuer, "m")
				time.Sleep(2 * DefaultPoll)
				if got := a.keys(testIssuer); got != "m" {
					t.Errorf("after all keys changed: %q: %+v", got, a.Alarms())
				}
			})
		})
	}
}

// Section 6, refresh hint: an issuer is fetched as often as its bound home does, if that is oftener than configured; never oftener than
// once a minute, and at the word of nobody else.
func TestAHomeHintsHowOftenToFetch(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "h")
		n.world.home = "site-of-h"
		n.world.publish(testIssuer, "k", "l")
		for _, site := range []trust.SiteName{"a", "b", "h"} {
			p, peers := homed(n, site)
			n.startWith(site, newMemory(), peers, p)
		}
		for _, site := range []trust.SiteName{"b", "h"} {
			if err := n.sites[site].BeHome([]string{testIssuer}); err != nil {
				t.Fatal(err)
			}
		}
		a := n.sites["a"]
		if got := a.state.Load().period(testIssuer, time.Hour); got != time.Hour {
			t.Errorf("before its home said anything: %s", got)
		}
		time.Sleep(2 * time.Minute)
		for configured, want := range map[time.Duration]time.Duration{time.Hour: DefaultPoll, 5 * time.Second: 5 * time.Second, DefaultPoll: DefaultPoll} {
			if got := a.state.Load().period(testIssuer, configured); got != want {
				t.Errorf("configured %s: %s", configured, got)
			}
		}
		hasty := *a.state.Load()
		hasty.authors = maps.Clone(hasty.authors)
		h := *hasty.authors["h"]
		told := *h.bundle
		told.words = slices.Clone(told.words)
		told.words[0].Refresh = time.Second
		h.bundle = &told
		hasty.authors["h"] = &h
		if got := hasty.period(testIssuer, time.Hour); got != minRetry {
			t.Errorf("a home that would have it fetched each second: %s", got)
		}
		// Another's word is no hint, and the home's none once the operator names it no more.
		p, peers := homed(n, "a")
		p.Home = ""
		if err := a.Reconfigure([]trust.IssuerPolicy{p}, peers); err != nil {
			t.Fatal(err)
		}
		if got := a.state.Load().period(testIssuer, time.Hour); got != time.Hour {
			t.Errorf("without a home: %s", got)
		}
	})
}

// A liar cannot fill a site with key sets: only those that a policy reads are asked for, each is known by its
// digest, and for one peer's sake at most maxAuthorBlobs are held (invariant 18, BoundedState).
func TestBlobsAreBounded(t *testing.T) {
	p := quorumOf("p", "q")
	d, s, store := lone(t, p)
	record := func(blob []byte) string {
		return s.seal(typObs, obsRecord{s.net(), testIssuer, "", trust.Digest{}, []string{print("k")}, noon.Unix(), trust.DigestOf(blob), ""})
	}
	version := int64(0)
	name := func(blob []byte) {
		t.Helper()
		version++
		if _, err := d.accept(t.Context(), s.bundle(version, 0, version, trust.Digest{}, nil, record(blob))); err != nil {
			t.Fatal(err)
		}
	}
	good, _ := jwks("k")
	name(good)
	for what, body := range map[string][]byte{
		"nothing": nil, "what nobody named": []byte("{}"), "too much": make([]byte, maxBlobBytes+1),
	} {
		if err := d.takeBlob(t.Context(), body); !errors.Is(err, errBlob) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.takeBlob(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if err := d.takeBlob(t.Context(), good); !errors.Is(err, errBlob) {
		t.Errorf("twice: %v", err)
	}
	if got := d.state.Load(); len(got.bodies) != 1 || len(got.blobs) != 1 || len(got.lacking()) != 0 {
		t.Errorf("%d bodies, %d blobs", len(got.bodies), len(got.blobs))
	}
	// What it named before goes with the next word.
	junk := []byte(strings.Repeat("x", 100))
	name(junk)
	if err := d.takeBlob(t.Context(), junk); err != nil {
		t.Fatal(err)
	}
	if got := d.state.Load(); len(got.blobs) != 1 || store.entries[keyBlob+trust.DigestOf(good).String()] != nil {
		t.Errorf("%d blobs", len(got.blobs))
	}
	if got := d.keysOf(testIssuer); got != 0 {
		t.Errorf("junk holds %d keys", got)
	}
	// Many issuers, all named by one liar.
	var policies []trust.IssuerPolicy
	var records []string
	var bodies [][]byte
	for i := range 20 {
		q := p
		q.Issuer = fmt.Sprintf("https://idp-%02d.example.org", i)
		body := []byte(strings.Repeat(string(rune('a'+i)), maxBlobBytes))
		policies, bodies = append(policies, q), append(bodies, body)
		records = append(records, s.seal(typObs, obsRecord{s.net(), q.Issuer, "", trust.Digest{}, []string{print("k")}, noon.Unix(), trust.DigestOf(body), ""}))
	}
	if err := d.Reconfigure(policies, pinned(map[trust.SiteName]trust.NodeID{"p": s.node})); err != nil {
		t.Fatal(err)
	}
	if _, err := d.accept(t.Context(), s.bundle(90, 0, 90, trust.Digest{}, nil, records...)); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, body := range bodies {
		if d.takeBlob(t.Context(), body) == nil {
			taken++
		}
	}
	if taken != maxAuthorBlobs/maxBlobBytes {
		t.Errorf("%d key sets of %d bytes were taken", taken, maxBlobBytes)
	}
	answer := d.state.Load().giveBlobs(slices.Repeat([]trust.Digest{trust.DigestOf(bodies[0])}, 100))
	if n := len(encode(answer)); n > MaxSyncBytes || len(answer.Blobs) == 0 {
		t.Errorf("an answer of %d bytes with %d blobs", n, len(answer.Blobs))
	}
}

func (d *Desk) keysOf(issuer string) int {
	iv, _ := d.View().Lookup(issuer)
	return len(iv.Keys)
}

// A key set on the disk that was bent is pulled again, and not believed meanwhile.
func TestBentBlob(t *testing.T) {
	simulate(t, func(t *testing.T) {
		n := newNetwork(t, "a", "b", "c")
		n.world.publish(testIssuer, "k")
		n.start("a", newMemory(), quorumOf("b", "c"))
		for _, name := range []trust.SiteName{"b", "c"} {
			n.start(name, newMemory(), trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
		}
		n.everybody(time.Minute, "k")
		a := n.sites["a"]
		a.halt(t)
		forged, _ := jwks("forged")
		for key := range a.store.entries {
			if strings.HasPrefix(key, keyBlob) {
				a.store.entries[key] = forged
			}
		}
		a = n.start("a", a.store, quorumOf("b", "c"))
		if got := a.keys(testIssuer); got != "" {
			t.Errorf("it believes %q", got)
		}
		n.everybody(time.Minute, "k")
	})
}

// A site may run a newer version than its peers: a record of a kind that is not known counts for nothing, and
// is passed on with the others; one that is no record of a site's at all is refused.
func TestRecordsOfLaterKinds(t *testing.T) {
	d, p, _ := lone(t, trust.IssuerPolicy{Issuer: testIssuer, Mode: trust.ModeDirect})
	later := p.seal("candig-later+jwt", map[string]any{"net": p.net(), "what": "ever"})
	w := p.bundle(1, 0, 1, trust.Digest{}, nil, p.obs(testIssuer, noon, "k"), later)
	if changed, err := d.accept(t.Context(), w); !changed || err != nil {
		t.Fatalf("%t %v", changed, err)
	}
	a := d.state.Load().author("p")
	if len(a.witness().Observations) != 1 || !slices.Contains(a.bundle.records.Records, later) {
		t.Errorf("%+v", a.bundle)
	}
	for name, r := range map[string]string{
		"no kind of a site's": p.seal("at+jwt", map[string]any{"net": p.net()}),
		"a head":              p.seal(typHead, map[string]any{"net": p.net()}),
		"by another key":      newSigner("thief").seal("candig-later+jwt", map[string]any{"net": p.net()}),
	} {
		if _, err := openRecord([]byte(r), p.pin, p.public()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is wrong with an issuer record is said, and nothing of its bundle is taken.
func TestIssuerRecordsRefused(t *testing.T) {
	d, p, _ := lone(t)
	good := wordRecord{p.net(), testIssuer, testIssuer + "/jwks", trust.Digest{}, trust.DigestOf([]byte("x")), []string{print("k")}, []string{"ES256"}, []trust.Kind{trust.KindPassport}, noon.Unix(), 300}
	change := func(f func(*wordRecord)) string {
		w := good
		f(&w)
		return p.seal(typWord, w)
	}
	if _, err := openRecord([]byte(p.seal(typWord, good)), p.pin, p.public()); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]string{
		"another network":     change(func(w *wordRecord) { w.Net = "elsewhere" }),
		"no issuer":           change(func(w *wordRecord) { w.Issuer = "" }),
		"no key":              change(func(w *wordRecord) { w.Keys = nil }),
		"keys unsorted":       change(func(w *wordRecord) { w.Keys = []string{print("k"), print("k")} }),
		"no key set":          change(func(w *wordRecord) { w.KeySet = trust.Digest{} }),
		"an impossible time":  change(func(w *wordRecord) { w.At = -1 }),
		"too many algorithms": change(func(w *wordRecord) { w.Algorithms = make([]string, maxKinds+1) }),
		"refresh before now":  change(func(w *wordRecord) { w.Refresh = -1 }),
		"refresh in a year":   change(func(w *wordRecord) { w.Refresh = 365 * 86400 }),
	} {
		if _, err := openRecord([]byte(r), p.pin, p.public()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late := change(func(w *wordRecord) { w.At = noon.Add(time.Hour).Unix() })
	for name, records := range map[string][]string{"two of one issuer": {p.seal(typWord, good), change(func(w *wordRecord) { w.JWKSURI = "" })}, "from after its head": {late}} {
		if changed, err := d.accept(t.Context(), p.bundle(1, 0, 1, trust.Digest{}, nil, records...)); changed || !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %t %v", name, changed, err)
		}
	}
}
