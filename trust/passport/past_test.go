package passport

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/candignode/candignode/trust"
	"github.com/candignode/candignode/trust/passport/passporttest"
)

// history is everything that a request may hold, and everything that may change
// around it.
type history struct {
	w        *world
	tokens   []string
	sets     []trust.VisaSet
	views    []*trust.View
	revoked  []*trust.Revocations
	links    []map[trust.Identity][]trust.Link
	provens  []trust.Proven
	accesses []Polled
}

func newHistory(t *testing.T) *history {
	w := newJoined(t)
	w.policy(dacURL, func(p *trust.IssuerPolicy) { p.AccessTokenVisas = true })
	h := &history{w: w, provens: []trust.Proven{{}, {JKT: "key"}}}
	grant := func(i int, minutes int) string {
		return w.grant(func(c *passporttest.VisaClaims) {
			c.Value, c.Expires, c.ID = fmt.Sprint(dataset, i), now.Add(time.Duration(minutes)*time.Minute), fmt.Sprint("grant-", i)
		})
	}
	link := w.link(func(c *passporttest.VisaClaims) { c.ID = "link" }, "researcher", atDAC, atInstitute)
	visas := []string{grant(0, 5), grant(1, 50), grant(2, 500), "x", rawObject(visaObjectOf().with("conditions", nil)), w.stranger.Visa(passporttest.VisaClaims{Subject: "s"}),
		w.grant(func(c *passporttest.VisaClaims) { c.NotBefore = now.Add(20 * time.Minute) }),
		link, w.affiliation(), w.conditional(clauses{{faculty}}), w.conditional(clauses{{{"type": trust.VisaControlledAccessGrants, "value": "pattern:*1"}}}),
		accessVisa(50 * time.Minute), accessVisa(2 * time.Hour), rawVisa(visaClaimsOf().with("cnf", claims{"jkt": "key"}))}
	pick := func(i, step int) []string {
		var some []string
		for k := range 4 {
			some = append(some, visas[(i+k*step)%len(visas)])
		}
		return some
	}
	for i := range 14 {
		payload := passportClaimsOf(pick(i, i%3+1)...).with("sub", fmt.Sprint(i)).with("jti", fmt.Sprint("passport-", i))
		switch i % 4 {
		case 1:
			payload = payload.with("aud", "bcgsc-node")
		case 2:
			payload = payload.with("cnf", claims{"jkt": "key"})
		}
		h.tokens = append(h.tokens, rawPassport(payload))
	}
	conditional := w.passport(visas[9])
	h.tokens = append(h.tokens, conditional, w.passport(link), w.passport(visas[8]), w.passport(link, visas[8], visas[9]), w.passport(),
		"", w.stranger.Passport(passporttest.PassportClaims{}), conditional[:len(conditional)-4]+"AAAA")
	for i, via := range []trust.Kind{trust.KindPassport, trust.KindClaims, trust.KindLogin} {
		h.sets = append(h.sets, trust.VisaSet{Identity: trust.Identity{Issuer: brokerURL, Subject: fmt.Sprint("set-", i)}, Via: via, Until: now.Add(time.Duration(i+1) * 20 * time.Minute)})
		if via != trust.KindLogin {
			h.sets[i].Visas = compact(pick(7+i, 1)...)
		}
	}
	h.around(link)
	return h
}

// around makes what changes around the requests.
func (h *history) around(link string) {
	w := h.w
	h.views = []*trust.View{w.view}
	w.policy(dacURL, func(p *trust.IssuerPolicy) { p.ValuePrefixes, p.MaxAssertedAge = []string{dataset + "1"}, 25*time.Hour })
	h.views = append(h.views, w.view)
	w.change(brokerURL, func(iv *trust.IssuerView) {
		iv.Keys[0].Until, iv.Policy.LinksFor = now.Add(30*time.Minute), []string{dacURL}
	})
	h.views = append(h.views, w.view)
	one := func(revision uint64, r trust.Revocation) {
		h.revoked = append(h.revoked, trust.NewRevocations(revision, []trust.Revocation{r}))
	}
	h.revoked = []*trust.Revocations{nil}
	one(1, trust.Revocation{Kind: trust.RevokeJTI, JTI: "link"})
	one(2, trust.Revocation{Kind: trust.RevokeIdentity, Issuer: dacURL, Subject: atDAC.Subject})
	one(3, trust.Revocation{Kind: trust.RevokeJTI, JTI: "passport-0"})
	one(4, trust.Revocation{Kind: trust.RevokeToken, Token: trust.DigestOfString(link)})
	stored := trust.Link{A: atBroker, B: atDAC, Source: brokerURL, Visa: trust.DigestOfString(link), KeyID: w.broker.Keys()[0].Thumbprint, Until: now.Add(35 * time.Minute), Asserted: now.Add(-time.Hour)}
	h.links = []map[trust.Identity][]trust.Link{{}, {atBroker: {stored}, atDAC: {stored}}}
	newer := w.grant(func(c *passporttest.VisaClaims) { c.Value = dataset + "/newer1" })
	h.accesses = []Polled{{}, {Until: now.Add(10 * time.Minute)}, {Refused: true}, {Until: now.Add(40 * time.Minute), Replaced: true, Visas: []string{newer, "x"}}}
}

// Row 61: no sequence of requests changes what a later one yields. A verifier with a
// past and a small memory answers as one that was just made, whatever passports, sets,
// proofs, revocations, stored links, polls and pictures of trust came before.
func TestThePastDoesNotMatter(t *testing.T) {
	h := newHistory(t)
	rapid.Check(t, func(t *rapid.T) {
		view, revoked, links, access := h.views[0], h.revoked[0], h.links[0], h.accesses[0]
		options := Options{
			View:         func() *trust.View { return view },
			Revoked:      func() *trust.Revocations { return revoked },
			KnownLinks:   func(id trust.Identity) []trust.Link { return links[id] },
			Polled:       func(context.Context, AccessTokenVisa) Polled { return access },
			Audiences:    func(_ string, site trust.SiteName) []string { return h.w.audiences[site] },
			OwnNames:     []string{"https://uhn.example"},
			CacheEntries: rapid.IntRange(1, 9).Draw(t, "entries"),
			CacheBytes:   rapid.IntRange(0, 30_000).Draw(t, "bytes"),
		}
		experienced, at := New(options), now
		for range rapid.IntRange(1, 12).Draw(t, "requests") {
			view = rapid.SampledFrom(h.views).Draw(t, "view")
			revoked = rapid.SampledFrom(h.revoked).Draw(t, "revoked")
			links = rapid.SampledFrom(h.links).Draw(t, "links")
			access = rapid.SampledFrom(h.accesses).Draw(t, "access")
			at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 300, 900}).Draw(t, "seconds")) * time.Second)
			request := Request{
				Passports: rapid.SliceOfN(rapid.SampledFrom(h.tokens), 0, 3).Draw(t, "passports"),
				Sets:      rapid.SliceOfN(rapid.SampledFrom(h.sets), 0, 2).Draw(t, "sets"),
				Proven:    rapid.SampledFrom(h.provens).Draw(t, "proven"),
				Origin:    rapid.SampledFrom([]trust.SiteName{"", "", "bcgsc"}).Draw(t, "origin"), Now: at,
				CallerOnly: rapid.Bool().Draw(t, "caller only"),
			}
			got, gotErr := experienced.Verify(context.Background(), request)
			want, wantErr := New(options).Verify(context.Background(), request)
			if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotErr, wantErr) {
				t.Fatalf("with a past: %+v %v\nwithout:     %+v %v", got, gotErr, want, wantErr)
			}
			for _, visa := range got.Caller.Visas {
				if !visa.Expires.After(at) || visa.Expires.Before(got.Until) || visa.Person.IsZero() {
					t.Fatalf("at %v: %+v, all until %v", at, visa, got.Until)
				}
			}
			if c := experienced.visas; len(c.entries) > c.maxEntries || c.bytes > c.maxBytes {
				t.Fatalf("%d entries, %d bytes", len(c.entries), c.bytes)
			}
		}
	})
}

// Most of what the history holds is accepted by itself, so that the property above
// says something.
func TestHistoryIsNotEmpty(t *testing.T) {
	h := newHistory(t)
	seen := map[trust.Reason]int{}
	for _, token := range h.tokens {
		verifier := New(Options{View: func() *trust.View { return h.views[0] }, Audiences: func(string, trust.SiteName) []string { return []string{"bcgsc-node"} }})
		verdict, err := verifier.Verify(context.Background(), Request{Passports: []string{token}, Now: now, Proven: h.provens[1]})
		if err != nil {
			seen["refused"]++
			continue
		}
		for _, v := range verdict.Visas {
			seen[v.Reason]++
		}
	}
	for _, reason := range []trust.Reason{"", trust.ReasonConditions, trust.ReasonPolling, "refused"} {
		if seen[reason] == 0 {
			t.Errorf("nothing is %q: %v", reason, slices.Collect(maps.Keys(seen)))
		}
	}
	if seen[""] < 20 || seen["refused"] > 5 {
		t.Errorf("%v", seen)
	}
}
